import { resolve } from 'node:path'
import type { Locker } from '../../snapshotter/index.ts'
import type { BuildResult, ImageLayer } from '../image/built-image.ts'
import type { AnnotationRequest, LayerFormat, OutputRequest } from '../request.ts'
import type { Step } from '../solver/steps.ts'
import { archiveTar } from './archive-tar.ts'
import {
  checkDirectoryDestination,
  checkFileDestination,
  type Surroundings,
  writeDestination,
} from './destination.ts'
import type { Exporter, ExportOutcome, ExportServices } from './exporter.ts'
import { writeLayoutDirectory } from './layout-directory.ts'
import {
  blobFiles,
  dockerManifestFile,
  inOrder,
  type LayoutFile,
  type LayoutEntry,
  layoutEntries,
  layoutHead,
  prefetchBlob,
  rootManifest,
} from './layout-files.ts'
import { tellManifests } from './told-facts.ts'

type ArchiveOutput = Extract<OutputRequest, { type: 'oci' | 'docker' }> & { readonly dest: string }

export interface ArchiveParts extends Surroundings {
  /** Layout directories are locked while they are written. */
  readonly kernel: Locker
}

/**
 * `type=oci` and `type=docker` with a destination (features rows C66, C67): an OCI layout as a tar or a directory; for docker with
 * `manifest.json`, which `docker load` and skopeo's `docker-archive:` read. Errors: `destination-unusable`, `export-unsupported`.
 */
export class ArchiveExporter implements Exporter {
  readonly format: LayerFormat
  readonly annotations: readonly AnnotationRequest[]
  readonly #output: ArchiveOutput
  readonly #parts: ArchiveParts

  private constructor(output: ArchiveOutput, parts: ArchiveParts) {
    this.format = output.format
    this.annotations = output.annotations
    this.#output = output
    this.#parts = parts
  }

  /** Refuses a bad destination at once, not after the build. */
  static async open(output: ArchiveOutput, parts: ArchiveParts): Promise<ArchiveExporter> {
    if (output.isTar) {
      await checkFileDestination(output.dest, output.type, parts)
    } else {
      await checkDirectoryDestination(output.dest, output.type, parts)
    }
    return new ArchiveExporter(output, parts)
  }

  layerReady(layer: ImageLayer, services: ExportServices, signal: AbortSignal): void {
    prefetchBlob(layer, services, signal)
  }

  async export(
    result: BuildResult,
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<ExportOutcome> {
    const { type, dest, isTar, names, annotations } = this.#output
    await services.steps.during(`exporting to ${type} image format`, signal, async (step) => {
      // First, because it refuses what cannot be written.
      const parts = { result, names, annotations }
      const docker = type === 'docker' ? [dockerManifestFile([parts])] : []
      const blobs = await blobFiles(result, services, signal)
      const entries = layoutEntries(parts)
      if (isTar) {
        const files = inOrder([...blobs, ...layoutHead(entries), ...docker])
        const bytes = archiveTar(files, byteCounter(step), signal)
        await writeDestination(dest, bytes, this.#parts, signal)
      } else {
        const addition = {
          files: [...docker, ...blobs],
          entries: names.length === 0 ? entries.map(asLatest) : entries,
        }
        const { cwd, kernel } = this.#parts
        await writeLayoutDirectory(resolve(cwd, dest), addition, kernel, signal)
      }
      tellManifests(step, result)
    })
    return { digest: rootManifest(result).digest, names }
  }
}

/** What has no name is the `latest` of a directory, as BuildKit writes it: the next one takes its place. */
function asLatest(entry: LayoutEntry): LayoutEntry {
  const annotations = { ...entry.annotations, 'org.opencontainers.image.ref.name': 'latest' }
  return { ...entry, annotations }
}

/** Tells about layers; configs and manifests are too small to tell about. */
export function byteCounter(
  step: Step,
): (file: LayoutFile, currentBytes: number, isDone: boolean) => void {
  return (file, currentBytes, isDone) => {
    if (!(file.content instanceof Uint8Array)) {
      const part = `writing sha256:${file.name.slice('blobs/sha256/'.length, 'blobs/sha256/'.length + 12)}`
      step.progress(part, { currentBytes, totalBytes: file.content.sizeBytes, isDone })
    }
  }
}
