import { createReadStream } from 'node:fs'
import { chmod, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { encodePath, type Kernel, type PackEntry, type TreeNode } from '../../snapshotter/index.ts'
import type { BuildResult, ImageLayer } from '../image/built-image.ts'
import type { LayerFormat, OutputRequest } from '../request.ts'
import { checkFileDestination, type Surroundings, writeDestination } from './destination.ts'
import type { Exporter, ExportOutcome, ExportServices } from './exporter.ts'
import { FlatImage, type FlatKernel, READ_BACK_FORMAT } from './flat-image.ts'
import { prefetchBlob } from './layout-files.ts'
import { placedImages } from './local.ts'

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
  readonly format: LayerFormat = READ_BACK_FORMAT
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
    const step = services.steps.start('exporting to client tarball')
    const directory = await mkdtemp(join(workDirectory, '.tsbuild-tar-'))
    try {
      const output = join(directory, 'files.tar')
      await using packer = kernel.createPacker({
        output,
        compression: 'uncompressed',
        level: undefined,
        signal,
      })
      const flats: FlatImage[] = []
      try {
        for (const placed of placedImages(result, this.#output.platformSplit)) {
          const flat = await FlatImage.open(
            placed.image,
            { kernel, services, workDirectory: directory },
            signal,
          )
          flats.push(flat)
          await packer.add(await packEntries(flat, placed.directory, result.epochSec))
        }
        // The packer reads the unpacked files until here.
        await packer.finish()
      } finally {
        for (const flat of flats) {
          await flat[Symbol.asyncDispose]()
        }
      }
      await writeDestination(
        this.#output.dest,
        createReadStream(output, { highWaterMark: 1 << 20, signal }),
        this.#parts,
        signal,
      )
      step.end('done')
    } catch (error) {
      step.end('failed', error instanceof Error ? error.message : String(error))
      throw error
    } finally {
      await kernel.removeTree(directory, new AbortController().signal)
    }
    return { digest: undefined, names: [] }
  }
}

async function packEntries(
  flat: FlatImage,
  directory: string,
  epochSec: number | undefined,
): Promise<PackEntry[]> {
  const prefix = directory === '' ? '' : `${directory}/`
  const first = new Map<string, string>()
  const entries: PackEntry[] = []
  if (directory !== '') {
    entries.push({
      type: 'dir',
      path: directory,
      mode: 0o755,
      uid: 0,
      gid: 0,
      mtimeSec: epochSec ?? 0,
    })
  }
  for (const node of flat.nodes) {
    const path = `${prefix}${node.path}`
    const mtimeSec = epochSec ?? node.entry.mtimeSec
    if (node.entry.type !== 'file') {
      entries.push({ ...node.entry, path, mtimeSec })
      continue
    }
    const key = `${node.layer} ${node.source}`
    const target = first.get(key)
    const { digest: _digest, ...metadata } = node.entry
    if (target !== undefined) {
      const { mode, uid, gid } = metadata
      entries.push({ type: 'hardlink', path, target, mode, uid, gid, mtimeSec })
      continue
    }
    first.set(key, path)
    await makeReadable(flat, node)
    const source = { kind: 'path', root: flat.directoryOf(node), path: node.source } as const
    entries.push({ ...metadata, path, mtimeSec, source })
  }
  return entries
}

/** The unpacked copy is ours; its mode may forbid an ordinary user to read it (0000 is common for /etc/shadow). */
async function makeReadable(flat: FlatImage, node: TreeNode): Promise<void> {
  if ((node.entry.mode & 0o400) === 0) {
    await chmod(
      Buffer.concat([Buffer.from(`${flat.directoryOf(node)}/`), encodePath(node.source)]),
      0o600,
    )
  }
}
