import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { BuildResult, ImageLayer } from '../image/built-image.ts'
import type { LayerFormat, OutputRequest } from '../request.ts'
import { checkDirectoryDestination, type Surroundings } from './destination.ts'
import { ExportError } from './errors.ts'
import type { Exporter, ExportOutcome, ExportServices } from './exporter.ts'
import { FlatImage, type FlatKernel } from './flat-image.ts'
import { READ_BACK_FORMAT } from './layer-formats.ts'
import { prefetchBlob } from './layout-files.ts'
import {
  finishDirectories,
  type LocalKernel,
  type LocalWriterOptions,
  writeLocalFiles,
  type WrittenDirectory,
} from './local-writer.ts'
import { checkMirrorDestination, keepPaths, removeOthers } from './mirror.ts'
import { PathClaims, placedImages } from './placed-images.ts'
import { openWorkDirectory, type WorkDirectoryKernel } from './work-directory.ts'

type LocalOutput = Extract<OutputRequest, { type: 'local' | 'tar' }>

export interface LocalParts extends Pick<Surroundings, 'cwd' | 'stdout'> {
  readonly kernel: FlatKernel & LocalKernel & WorkDirectoryKernel
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
    const dest = resolve(this.#parts.cwd, this.#output.dest)
    await services.steps.during('exporting to client directory', signal, async (step) => {
      const onSkipped = (path: string, reason: string): void =>
        services.steps.warning(`could not write ${path}: ${reason}`, { step })
      try {
        await this.#write(dest, result, { services, onSkipped }, signal)
      } catch (error) {
        throw unwritable(dest, error)
      }
    })
    return { digest: undefined, names: [] }
  }

  async #write(
    dest: string,
    result: BuildResult,
    reports: Pick<LocalWriterOptions, 'onSkipped'> & { readonly services: ExportServices },
    signal: AbortSignal,
  ): Promise<void> {
    const { kernel } = this.#parts
    const { services, onSkipped } = reports
    const { epochSec } = result
    await mkdir(dest, { recursive: true, mode: 0o700 })
    const kept = this.#output.isMirror === true ? new Set<string>() : undefined
    const written: {
      readonly root: string
      readonly directories: readonly WrittenDirectory[]
    }[] = []
    const claims = result.images.length > 1 ? new PathClaims() : undefined
    for (const placed of placedImages(result, this.#output.platformSplit)) {
      // Below the destination: files get their place by rename.
      await using work = await openWorkDirectory(dest, kernel)
      const parts = { kernel, services, workDirectory: work.path }
      await using flat = await FlatImage.open(placed.image, parts, signal)
      await claims?.add(flat, placed)
      const root = join(dest, placed.directory)
      await mkdir(root, { recursive: true, mode: 0o755 })
      const options = { root, kernel, epochSec, onSkipped, signal }
      written.push({ root, directories: await writeLocalFiles(flat, options) })
      if (kept !== undefined) await keepPaths(kept, placed.directory, flat.pages())
    }
    if (kept !== undefined) await removeOthers(dest, kept, kernel, signal)
    for (const { root, directories } of written) {
      await finishDirectories(directories, { root, epochSec })
    }
  }
}

/** Node's own error of a call below `dest` does not say what it ends. */
function unwritable(dest: string, error: unknown): unknown {
  const isOfDest =
    error instanceof Error &&
    'syscall' in error &&
    'path' in error &&
    String(error.path).startsWith(dest)
  return isOfDest
    ? new ExportError(
        'destination-unusable',
        `could not write output type=local: ${error.message}`,
        { cause: error },
      )
    : error
}
