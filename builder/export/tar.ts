import { createReadStream } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import type { Kernel } from '../../snapshotter/index.ts'
import type { BuildResult, ImageLayer } from '../image/built-image.ts'
import type { OutputRequest } from '../request.ts'
import { checkFileDestination, type Surroundings, writeDestination } from './destination.ts'
import type { Exporter, ExportOutcome, ExportServices } from './exporter.ts'
import { flatEntries } from './flat-entries.ts'
import { FlatImage, type FlatKernel } from './flat-image.ts'
import { prefetchBlob } from './layout-files.ts'
import { claimsFor, placedImages } from './placed-images.ts'

type TarOutput = Extract<OutputRequest, { type: 'local' | 'tar' }>

export interface TarParts extends Surroundings {
  readonly kernel: FlatKernel & Pick<Kernel, 'createPacker'>
  /** For the unpacked layers and the finished tar. */
  readonly workDirectory: string
}

/**
 * `type=tar` (features row C69): the files of the result as one tar, with owners, devices and extended attributes as in the layers.
 * Errors: `destination-unusable`, `export-unsupported`.
 */
export class TarExporter implements Exporter {
  readonly format = 'any'
  readonly #output: TarOutput
  readonly #parts: TarParts

  private constructor(output: TarOutput, parts: TarParts) {
    this.#output = output
    this.#parts = parts
  }

  /** Refuses a bad destination at once, not after the build. */
  static async open(output: TarOutput, parts: TarParts): Promise<TarExporter> {
    await checkFileDestination(output.dest, 'tar', parts)
    return new TarExporter(output, parts)
  }

  layerReady(layer: ImageLayer, services: ExportServices, signal: AbortSignal): void {
    prefetchBlob(layer, services, signal)
  }

  async export(
    result: BuildResult,
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<ExportOutcome> {
    const { kernel, workDirectory } = this.#parts
    await services.steps.during('exporting to client tarball', signal, async () => {
      const directory = await mkdtemp(join(workDirectory, '.tsbuild-tar-'))
      try {
        const tar = join(directory, 'files.tar')
        await this.#pack(result, { tar, workDirectory: directory }, services, signal)
        const bytes = createReadStream(tar, { highWaterMark: 1 << 20, signal })
        await writeDestination(this.#output.dest, bytes, this.#parts, signal)
      } finally {
        await kernel.removeTree(directory, new AbortController().signal)
      }
    })
    return { digest: undefined, names: [] }
  }

  /** Files are unpacked below `workDirectory`, where the packer reads them until it has finished. */
  async #pack(
    result: BuildResult,
    { tar, workDirectory }: { readonly tar: string; readonly workDirectory: string },
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<void> {
    const { kernel } = this.#parts
    await using packer = kernel.createPacker({
      output: tar,
      compression: 'uncompressed',
      level: undefined,
      // Nobody asks for it, but without it the packer would hold all entries. It takes them sorted only.
      contents: result.images.length === 1 ? `${tar}.contents` : undefined,
      signal,
    })
    const parts = { kernel, services, workDirectory }
    const images = placedImages(result, this.#output.platformSplit)
    const claims = claimsFor(images)
    for (const placed of images) {
      const flat = await FlatImage.open(placed.image, parts, signal)
      await claims?.add(flat, placed)
      const { directory } = placed
      const { epochSec } = result
      if (directory !== '') {
        const mtimeSec = epochSec ?? 0
        await packer.add([{ type: 'dir', path: directory, mode: 0o755, uid: 0, gid: 0, mtimeSec }])
      }
      for await (const page of flatEntries(flat, { directory, epochSec })) await packer.add(page)
    }
    await packer.finish()
  }
}
