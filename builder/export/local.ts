import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { BuildResult, ImageLayer } from '../image/built-image.ts'
import type { LayerFormat, OutputRequest } from '../request.ts'
import { checkDirectoryDestination, type Surroundings } from './destination.ts'
import type { Exporter, ExportOutcome, ExportServices } from './exporter.ts'
import { FlatImage, type FlatKernel } from './flat-image.ts'
import { READ_BACK_FORMAT } from './layer-formats.ts'
import { prefetchBlob } from './layout-files.ts'
import { finishDirectories, type LocalKernel, writeLocalFiles } from './local-writer.ts'
import { checkMirrorDestination, keepPaths, removeOthers } from './mirror.ts'
import { PathClaims, placedImages } from './placed-images.ts'

type LocalOutput = Extract<OutputRequest, { type: 'local' | 'tar' }>

export interface LocalParts extends Pick<Surroundings, 'cwd' | 'stdout'> {
  readonly kernel: FlatKernel & LocalKernel
}

/**
 * `type=local` (features row C68): the files of the result in a directory; several platforms go to `linux_amd64/` and so
 * on. Files that are there and not in the result stay, unless `isMirror` says otherwise. Errors: `destination-unusable`, `export-unsupported`.
 */
export class LocalExporter implements Exporter {
  readonly format: LayerFormat = READ_BACK_FORMAT
  readonly #output: LocalOutput
  readonly #parts: LocalParts

  private constructor(output: LocalOutput, parts: LocalParts) {
    this.#output = output
    this.#parts = parts
  }

  /** Refuses a bad destination at once, not after the build. */
  static async open(output: LocalOutput, parts: LocalParts): Promise<LocalExporter> {
    await checkDirectoryDestination(output.dest, 'local', parts)
    if (output.isMirror === true) {
      checkMirrorDestination(output.dest, parts.cwd)
    }
    return new LocalExporter(output, parts)
  }

  layerReady(layer: ImageLayer, services: ExportServices, signal: AbortSignal): void {
    prefetchBlob(layer, services, signal)
  }

  async export(
    result: BuildResult,
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<ExportOutcome> {
    const { kernel, cwd } = this.#parts
    const dest = resolve(cwd, this.#output.dest)
    await services.steps.during('exporting to client directory', signal, async (step) => {
      await mkdir(dest, { recursive: true, mode: 0o700 })
      const kept = this.#output.isMirror === true ? new Set<string>() : undefined
      const written: { readonly root: string; readonly nodes: FlatImage['nodes'] }[] = []
      const { epochSec } = result
      const claims = result.images.length > 1 ? new PathClaims() : undefined
      for (const placed of placedImages(result, this.#output.platformSplit)) {
        // Below the destination: files get their place by rename.
        const parts = { kernel, services, workDirectory: dest }
        await using flat = await FlatImage.open(placed.image, parts, signal)
        claims?.add(flat, placed)
        const root = join(dest, placed.directory)
        await mkdir(root, { recursive: true, mode: 0o755 })
        const onSkipped = (path: string, reason: string): void =>
          services.steps.warning(`could not write ${path}: ${reason}`, { step })
        await writeLocalFiles(flat, { root, kernel, epochSec, onSkipped, signal })
        written.push({ root, nodes: flat.nodes })
        if (kept !== undefined) keepPaths(kept, placed.directory, flat.nodes)
      }
      if (kept !== undefined) await removeOthers(dest, kept, kernel, signal)
      for (const { root, nodes } of written) await finishDirectories(nodes, { root, epochSec })
    })
    return { digest: undefined, names: [] }
  }
}
