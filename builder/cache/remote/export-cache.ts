import type { RegistryClient } from '../../../registry-client/index.ts'
import {
  type Descriptor,
  digestHex,
  digestOf,
  formatReference,
  type ManifestBytes,
  parseReference,
} from '../../../registry-client/oci/index.ts'
import type { Locker } from '../../../snapshotter/index.ts'
import type { ExportServices } from '../../export/exporter.ts'
import { writeLayoutDirectory } from '../../export/layout-directory.ts'
import type { LayoutFile } from '../../export/layout-files.ts'
import { pushLayer } from '../../export/push-layer.ts'
import type { ImageLayer } from '../../image/built-image.ts'
import { encodeManifest } from '../../image/manifest.ts'
import type { CacheExport } from '../../request.ts'
import type { Step } from '../../solver/steps.ts'
import type { CacheJournal } from '../journal.ts'
import { CACHE_CONFIG, encodeCacheDocument } from './cache-document.ts'

/** What pushing a cache needs of the registry client. */
export type CachePushClient = Pick<RegistryClient, 'pushBlob' | 'pushManifest'>

type Destination = Exclude<CacheExport, { type: 'inline' }>

/** A cache as it is written: its own bytes, and layers that may have to be fetched. */
interface CacheImage {
  readonly config: { readonly descriptor: Descriptor; readonly bytes: Uint8Array }
  readonly manifest: ManifestBytes
  readonly layers: readonly ImageLayer[]
}

export interface ExportCacheParts {
  readonly registry: () => Promise<CachePushClient>
  readonly services: ExportServices
  /** Caches in directories are locked while they are written. */
  readonly locker: Locker
}

/**
 * Writes the steps of a build to a remote cache (features rows C78, C79, K27): layers first, the name last, so a reader
 * finds the old cache or the new one; of two writers the last one wins (K32). What is there already is not sent again.
 * Errors: those of the registry client, `destination-unusable`.
 */
export async function exportCache(
  destination: Destination,
  cache: { readonly journal: CacheJournal; readonly layers: readonly ImageLayer[] },
  parts: ExportCacheParts,
  signal: AbortSignal,
): Promise<void> {
  const image = cacheImage(destination, cache)
  const name = destination.type === 'registry' ? destination.ref : destination.dest
  await parts.services.steps.during(`exporting cache to ${name}`, signal, async (step) => {
    if (destination.type === 'registry') {
      await push(destination.ref, image, { ...parts, step }, signal)
    } else {
      await writeLayout(destination, image, parts, signal)
    }
  })
}

function cacheImage(
  { format: { useOciMediaTypes } }: Destination,
  { journal, layers }: { readonly journal: CacheJournal; readonly layers: readonly ImageLayer[] },
): CacheImage {
  const sorted = layers.toSorted((a, b) => (a.diffId < b.diffId ? -1 : 1))
  const { steps, aliases } = journal
  const diffIds = sorted.map(({ diffId }) => diffId)
  const bytes = Buffer.from(encodeCacheDocument({ diffIds, steps, aliases }))
  const descriptor = {
    mediaType: CACHE_CONFIG,
    digest: digestOf(bytes),
    sizeBytes: bytes.byteLength,
  }
  const manifest = encodeManifest({
    config: descriptor,
    layers: sorted.map((layer) => layer.descriptor),
    useOciMediaTypes,
    annotations: new Map(),
  })
  return { config: { descriptor, bytes }, manifest, layers: sorted }
}

async function push(
  ref: string,
  { config, manifest, layers }: CacheImage,
  { registry, services, step }: ExportCacheParts & { readonly step: Step },
  signal: AbortSignal,
): Promise<void> {
  const reference = parseReference(ref)
  const place = { registry: reference.registry, repository: reference.repository }
  const client = await registry()
  await Promise.all(
    layers.map((layer) =>
      pushLayer(client, { layer, ...place, holders: [], step, services, signal }),
    ),
  )
  const open = async function* (startByte: number): AsyncGenerator<Uint8Array> {
    yield config.bytes.subarray(startByte)
  }
  await client.pushBlob(reference, { descriptor: config.descriptor, open }, { signal })
  await client.pushManifest(reference, manifest, { signal })
  step.progress(`pushing manifest for ${formatReference(reference)}@${manifest.digest}`, {
    currentBytes: 0,
    totalBytes: undefined,
    isDone: true,
  })
}

async function writeLayout(
  { dest, tag, isReset }: Extract<Destination, { type: 'local' }>,
  { config, manifest, layers }: CacheImage,
  { services, locker }: ExportCacheParts,
  signal: AbortSignal,
): Promise<void> {
  const blobs = await Promise.all(
    layers.map(async (layer) => {
      const { digest, sizeBytes } = layer.descriptor
      const path = await services.ensureBlob(layer, signal)
      return blobFile(digest, { path, sizeBytes })
    }),
  )
  const files = [
    ...blobs,
    blobFile(config.descriptor.digest, config.bytes),
    blobFile(manifest.digest, manifest.bytes),
  ]
  const entry = {
    mediaType: manifest.mediaType,
    digest: manifest.digest,
    size: manifest.bytes.byteLength,
    annotations: { 'org.opencontainers.image.ref.name': tag },
  }
  await writeLayoutDirectory(dest, { files, entries: [entry], isReset }, locker, signal)
}

function blobFile(digest: ManifestBytes['digest'], content: LayoutFile['content']): LayoutFile {
  return { name: `blobs/sha256/${digestHex(digest)}`, content }
}
