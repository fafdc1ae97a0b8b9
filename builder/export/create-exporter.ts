import type { RegistryClient } from '../../registry-client/index.ts'
import type { Kernel, Store } from '../../snapshotter/index.ts'
import type { ImageStore } from '../image/image-store.ts'
import type { OutputRequest } from '../request.ts'
import type { Surroundings } from './destination.ts'
import type { Exporter } from './exporter.ts'

/** What an output asks of the registry client beyond the flags of the command. */
export interface RegistryNeeds {
  /** `registry.insecure=true`: the registries of the names may be without TLS or a known certificate. */
  readonly isInsecure: boolean
  readonly names: readonly string[]
}

/** What outputs may need; the registry client is made on first use. */
export interface ExporterParts extends Surroundings {
  readonly kernel: Kernel
  readonly store: Store
  readonly images: ImageStore
  readonly registry: (options: RegistryNeeds) => Promise<RegistryClient>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly nowMs: () => number
}

/**
 * The exporter of one output; only its file is loaded. Destinations are checked now, so that a build does not run for
 * minutes before it says that it cannot write its result. Errors: `destination-unusable`, `engine-failed`.
 */
export async function createExporter(
  output: OutputRequest,
  parts: ExporterParts,
): Promise<Exporter> {
  switch (output.type) {
    case 'image':
      return createImageExporter(output, parts)
    case 'oci':
    case 'docker': {
      const { dest } = output
      if (dest === undefined) {
        return createLoadExporter(output, parts)
      }
      const { ArchiveExporter } = await import('./archive.ts')
      return ArchiveExporter.open({ ...output, dest }, parts)
    }
    case 'local': {
      const { LocalExporter } = await import('./local.ts')
      return LocalExporter.open(output, { ...parts, locks: parts.store.locks })
    }
    case 'tar': {
      const { TarExporter } = await import('./tar.ts')
      return TarExporter.open(output, { ...parts, workDirectory: parts.store.lease.directory })
    }
    case 'cacheonly':
      return (await import('./combined.ts')).CACHE_ONLY_EXPORTER
    default:
      return output satisfies never
  }
}

async function createImageExporter(
  output: Extract<OutputRequest, { type: 'image' }>,
  parts: ExporterParts,
): Promise<Exporter> {
  const { CombinedExporter } = await import('./combined.ts')
  const exporters: Exporter[] = []
  if (output.store) {
    const { StoreExporter } = await import('./store.ts')
    const { images, store, nowMs } = parts
    exporters.push(new StoreExporter(output, { images, blobs: store.blobs, nowMs }))
  }
  if (output.push) {
    const { RegistryExporter } = await import('./registry.ts')
    exporters.push(new RegistryExporter(output, () => parts.registry(output)))
  }
  return new CombinedExporter(output, exporters)
}

async function createLoadExporter(
  output: Extract<OutputRequest, { type: 'oci' | 'docker' }>,
  parts: ExporterParts,
): Promise<Exporter> {
  const { findEngine } = await import('./engine.ts')
  const { LoadExporter } = await import('./load.ts')
  const engine = await findEngine(parts.env)
  const { images, store, nowMs } = parts
  return new LoadExporter({ ...output, engine }, { images, blobs: store.blobs, nowMs })
}
