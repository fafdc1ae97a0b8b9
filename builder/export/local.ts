import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { formatPlatform, type Platform } from '../../registry-client/oci/index.ts'
import type { BuildResult, ImageLayer } from '../image/built-image.ts'
import type { LayerFormat, OutputRequest } from '../request.ts'
import { checkDirectoryDestination, type Surroundings } from './destination.ts'
import { ExportError } from './errors.ts'
import type { Exporter, ExportOutcome, ExportServices } from './exporter.ts'
import { FlatImage, type FlatKernel, READ_BACK_FORMAT } from './flat-image.ts'
import { prefetchBlob } from './layout-files.ts'
import { type LocalKernel, writeLocalFiles } from './local-writer.ts'
import { checkMirrorDestination, keptPaths, removeOthers } from './mirror.ts'

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
    const step = services.steps.start('exporting to client directory')
    try {
      await mkdir(dest, { recursive: true, mode: 0o700 })
      const kept = new Set<string>()
      const places = placedImages(result, this.#output.platformSplit)
      const owners = new Map<string, string>()
      for (const { image, directory } of places) {
        // Below the destination: files get their place by rename.
        await using flat = await FlatImage.open(
          image,
          { kernel, services, workDirectory: dest },
          signal,
        )
        if (places.length > 1) claimPaths(flat, formatPlatform(image.platform), directory, owners)
        const root = directory === '' ? dest : join(dest, directory)
        await mkdir(root, { recursive: true, mode: 0o755 })
        const onSkipped = (path: string, reason: string): void =>
          services.steps.warning(`could not write ${path}: ${reason}`, { step })
        for (const path of keptPaths(
          directory,
          flat.nodes.map((node) => node.path),
        )) {
          kept.add(path)
        }
        await writeLocalFiles(flat, { root, kernel, epochSec: result.epochSec, onSkipped, signal })
      }
      if (this.#output.isMirror === true) {
        await removeOthers(dest, kept, signal)
      }
      step.end('done')
    } catch (error) {
      step.end('failed', error instanceof Error ? error.message : String(error))
      throw error
    }
    return { digest: undefined, names: [] }
  }
}

/** Images with the directory that each one's files go to; '' is the root (features row C68). What has an index is split. */
export function placedImages(
  { images, index }: BuildResult,
  platformSplit: boolean | undefined,
): { readonly image: BuildResult['images'][number]; readonly directory: string }[] {
  const isSplit = platformSplit ?? index !== undefined
  return images.map((image) => ({
    image,
    directory: isSplit ? platformDirectory(image.platform) : '',
  }))
}

/** Platforms may share a directory as long as none replaces a file of another, as in BuildKit. */
function claimPaths(
  flat: FlatImage,
  platform: string,
  directory: string,
  owners: Map<string, string>,
): void {
  for (const { path, entry } of flat.nodes) {
    if (entry.type === 'dir') continue
    const place = join('/', directory, path)
    const owner = owners.get(place)
    if (owner !== undefined) {
      throw new ExportError(
        'export-unsupported',
        `could not export: cannot overwrite ${place} from ${owner} with ${platform}; leave platform-split=false out`,
      )
    }
    owners.set(place, platform)
  }
}

function platformDirectory({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])]
    .join('_')
    .replaceAll('/', '_')
}
