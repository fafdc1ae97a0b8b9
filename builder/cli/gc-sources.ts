import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, parseManifest } from '../../registry-client/oci/index.ts'
import type { GcRecord, GcSource, Kernel, Store } from '../../snapshotter/index.ts'
import { readStepRecord } from '../cache/records.ts'
import {
  ImageStore,
  readStoredImage,
  type SmallBlobs,
  type StoredImage,
} from '../image/image-store.ts'
import type { CommandServices } from './services.ts'

/** What a record is, as `du` and `prune` call it. */
export type CacheKind = 'image' | 'step' | 'cache-mount'

/** A record with what people want to know of it. */
export interface CacheRecord extends GcRecord {
  readonly kind: CacheKind
  readonly description: string
}

/** Everything that keeps blobs and layers: images, cached steps, cache mounts. */
export function cacheSources({
  store,
  kernel,
}: CommandServices): { records(): AsyncIterable<CacheRecord> }[] {
  const blobs = peekingBlobs(store)
  const images = new ImageStore(store.records(store.root.imagesDir, readStoredImage), blobs)
  return [
    { records: () => imageRecords(images, blobs) },
    { records: () => stepRecords(store) },
    { records: () => mountRecords(store, kernel) },
  ] satisfies GcSource[]
}

/**
 * Reads blobs without holding them: sources are asked while the collector has closed the gate that a hold must pass, and
 * what is only looked at must not be kept by that.
 */
function peekingBlobs({ blobs }: Store): SmallBlobs {
  return {
    size: async (digest) => (await stat(blobs.path(digest)).catch(ifAbsent))?.size,
    read: async (digest) => await readFile(blobs.path(digest)),
  }
}

function ifAbsent(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
    return undefined
  }
  throw error
}

/** Named images are pinned. One without a name goes like cache: it was replaced by a newer build. */
async function* imageRecords(images: ImageStore, peeking: SmallBlobs): AsyncGenerator<CacheRecord> {
  const signal = new AbortController().signal
  for (const image of await images.list()) {
    const platforms = await images.platforms(image, signal)
    yield {
      kind: 'image',
      description: image.name ?? 'image without a name',
      name: `image-${image.name ?? image.target.digest}`,
      lastUsedMs: Date.parse(image.storedAt),
      isPinned: image.name !== undefined,
      blobs: [
        ...(await manifestDigests(image, peeking, signal)),
        ...platforms.flatMap(({ manifest }) => [
          manifest.config.digest,
          ...manifest.layers.map(({ digest }) => digest),
        ]),
      ],
      layers: platforms.flatMap(({ config }) => config.rootfs.diff_ids),
      trees: [],
      sizeBytes: 0,
      drop: () => images.remove(image),
    }
  }
}

async function manifestDigests(
  { target }: StoredImage,
  blobs: SmallBlobs,
  signal: AbortSignal,
): Promise<Digest[]> {
  if ((await blobs.size(target.digest, signal)) === undefined) {
    return []
  }
  const parsed = parseManifest(
    await blobs.read(target.digest, target.sizeBytes, signal),
    target.mediaType,
  )
  return [
    target.digest,
    ...(parsed.kind === 'index' ? parsed.index.manifests.map(({ digest }) => digest) : []),
  ]
}

async function* stepRecords(store: Store): AsyncGenerator<CacheRecord> {
  const table = store.records(join(store.root.cacheDir, 'steps'), readStepRecord)
  for (const name of await table.names()) {
    const record = await table.get(name)
    if (record !== undefined) {
      yield {
        kind: 'step',
        description: record.title,
        name: `step-${name}`,
        lastUsedMs: (await table.lastUsedMs(name)) ?? 0,
        isPinned: false,
        blobs: [],
        layers: [record.diffId],
        trees: [],
        sizeBytes: 0,
        drop: () => table.remove(name),
      }
    }
  }
}

async function* mountRecords(store: Store, kernel: Kernel): AsyncGenerator<CacheRecord> {
  for (const name of await readdir(store.root.mountsDir)) {
    const path = join(store.root.mountsDir, name)
    yield {
      kind: 'cache-mount',
      description: 'RUN --mount=type=cache',
      name: `mount-${name}`,
      lastUsedMs: (await stat(path)).mtimeMs,
      isPinned: false,
      blobs: [],
      layers: [],
      trees: [path],
      sizeBytes: await treeSize(path, kernel),
      drop: async () => {},
    }
  }
}

async function treeSize(root: string, kernel: Kernel): Promise<number> {
  const entries = await kernel.scanTree({
    root,
    withXattrs: false,
    signal: new AbortController().signal,
  })
  return entries.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.sizeBytes : 0), 0)
}
