import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type Digest,
  digestHex,
  digestOf,
  MANIFEST_BYTES_MAX,
  parseManifest,
} from '../../registry-client/oci/index.ts'
import {
  errnoOf,
  type GcRecord,
  type GcSource,
  type RecordStore,
  type Store,
} from '../../snapshotter/index.ts'
import { readAliasRecord, readPositionRecord, readStepRecord } from '../cache/records.ts'
import { ImageStore, type SmallBlobs, type StoredImage } from '../image/image-store.ts'
import { mountRecordName } from '../ops/cache-mounts.ts'
import { readClampRecord } from '../ops/clamp-layer.ts'
import { failedRecordName, FailedSteps } from '../ops/failed-steps.ts'
import type { CommandServices } from './services.ts'

/** What a record is, as `du` and `prune` call it. */
export type CacheKind = (typeof CACHE_KINDS)[number]
export const CACHE_KINDS = [
  'image',
  'step',
  'failed-step',
  'cache-mount',
  'download',
  'context',
  'index',
  /** `du` alone: the collector needs no record to take it. */
  'garbage',
] as const

/** A record with what people want to know of it. */
export interface CacheRecord extends GcRecord {
  readonly kind: CacheKind
  readonly description: string
}

/** Which images count as cache: those that only builds pulled, or all. */
export type PrunedImages = 'unnamed' | 'bases' | 'all'

/** Everything that keeps blobs and layers, and small things that only get old: what makes looking up faster. */
export function cacheSources(
  { store }: CommandServices,
  pruned: PrunedImages,
  mountSizes: ReadonlyMap<string, number>,
): GcSource<CacheRecord>[] {
  const blobs = peekingBlobs(store)
  const images = ImageStore.of(store, blobs)
  return [
    { records: () => imageRecords(images, blobs, pruned) },
    { records: () => stepRecords(store) },
    { records: () => clampRecords(store) },
    { records: () => indexRecords(store) },
    { records: () => contextRecords(store) },
    { records: () => mountRecords(store, mountSizes) },
    { records: () => failedRecords(store) },
  ]
}

/**
 * Reads blobs without holding them: sources are asked while the collector has closed the gate that a hold must pass, and
 * what is only looked at must not be kept by that.
 */
function peekingBlobs({ blobs }: Store): SmallBlobs {
  return {
    // A damaged one counts as absent: what it named can no longer be found by it.
    find: async (digest) => {
      const bytes = await readFile(blobs.path(digest)).catch(ifAbsent)
      return bytes !== undefined && digestOf(bytes) === digest ? bytes : undefined
    },
  }
}

function ifAbsent(error: unknown): undefined {
  if (errnoOf(error) === 'ENOENT') {
    return undefined
  }
  throw error
}

/** Named images are pinned, but for those that count as cache. One without a name goes like cache: it was replaced by a newer build. */
async function* imageRecords(
  images: ImageStore,
  peeking: SmallBlobs,
  pruned: PrunedImages,
): AsyncGenerator<CacheRecord> {
  const signal = new AbortController().signal
  for (const image of await images.list()) {
    const platforms = await images.platforms(image, signal)
    yield {
      kind: 'image',
      description: image.name ?? 'image without a name',
      name: `image-${image.name ?? image.target.digest}`,
      lastUsedMs: await images.lastUsedMs(image),
      isPinned: image.name !== undefined && !isCache(image, pruned),
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
  const bytes = await blobs.find(target.digest, MANIFEST_BYTES_MAX, signal)
  if (bytes === undefined) {
    return []
  }
  const parsed = parseManifest(bytes, target.mediaType)
  return [
    target.digest,
    ...(parsed.kind === 'index' ? parsed.index.manifests.map(({ digest }) => digest) : []),
  ]
}

function isCache({ isBase }: StoredImage, pruned: PrunedImages): boolean {
  return pruned === 'all' || (pruned === 'bases' && isBase === true)
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

/** Layers that `rewrite-timestamp` made of others. */
async function* clampRecords(store: Store): AsyncGenerator<CacheRecord> {
  const table = store.records(join(store.root.cacheDir, 'clamps'), readClampRecord)
  for (const name of await table.names()) {
    const record = await table.get(name)
    if (record !== undefined) {
      yield {
        ...(await forgettable(table, name)),
        kind: 'step',
        description: 'layer with times set to SOURCE_DATE_EPOCH',
        name: `clamp-${name}`,
        layers: [record.diffId],
      }
    }
  }
}

/** What names a step in a quicker way stays as long as the step; what `explain` compares with only gets old. */
async function* indexRecords(store: Store): AsyncGenerator<CacheRecord> {
  const { cacheDir } = store.root
  const steps = store.records(join(cacheDir, 'steps'), readStepRecord)
  const aliases = store.records(join(cacheDir, 'aliases'), readAliasRecord)
  for (const name of await aliases.names()) {
    const alias = await aliases.get(name)
    const step = alias === undefined ? undefined : await steps.get(digestHex(alias.key))
    yield {
      ...(await forgettable(aliases, name)),
      kind: 'index',
      description: 'second key of a COPY',
      name: `alias-${name}`,
      layers: [],
      leadsTo: step === undefined ? [] : [step.diffId],
    }
  }
  const positions = store.records(join(cacheDir, 'positions'), readPositionRecord)
  for (const name of await positions.names()) {
    yield {
      ...(await forgettable(positions, name)),
      kind: 'index',
      description: 'what a step was made of, to say why it is executed again',
      name: `position-${name}`,
      layers: [],
    }
  }
}

async function forgettable(
  table: Pick<RecordStore<unknown>, 'lastUsedMs' | 'remove'>,
  name: string,
): Promise<Omit<CacheRecord, 'kind' | 'description' | 'name' | 'layers'>> {
  return {
    lastUsedMs: (await table.lastUsedMs(name)) ?? 0,
    isPinned: false,
    blobs: [],
    trees: [],
    sizeBytes: 0,
    drop: () => table.remove(name),
  }
}

/** Downloads of ADD (a build that uses one has a link of its own) and what is known of the files of contexts. */
async function* contextRecords({ root }: Store): AsyncGenerator<CacheRecord> {
  const downloads = join(root.contextsDir, 'downloads')
  const places = [
    { directory: root.contextsDir, kind: 'context', description: 'digests of a context' },
    { directory: downloads, kind: 'download', description: 'file of ADD' },
  ] as const
  for (const { directory, kind, description } of places) {
    const entries = await readdir(directory, { withFileTypes: true }).catch(ifAbsent)
    for (const entry of entries?.filter((one) => one.isFile()) ?? []) {
      const path = join(directory, entry.name)
      const found = await stat(path).catch(ifAbsent)
      if (found === undefined) continue
      const { mtimeMs, size } = found
      yield {
        kind,
        description,
        name: `${kind}-${entry.name}`,
        lastUsedMs: mtimeMs,
        isPinned: false,
        blobs: [],
        layers: [],
        trees: [],
        sizeBytes: size,
        drop: () => rm(path, { force: true }),
      }
    }
  }
}

async function* mountRecords(
  store: Store,
  sizes: ReadonlyMap<string, number>,
): AsyncGenerator<CacheRecord> {
  for (const name of await readdir(store.root.mountsDir)) {
    const path = join(store.root.mountsDir, name)
    const found = await stat(path).catch(ifAbsent)
    // Emptied just now by a step that ignores the cache.
    if (found === undefined) continue
    yield {
      kind: 'cache-mount',
      description: 'RUN --mount=type=cache',
      name: mountRecordName(name),
      lastUsedMs: found.mtimeMs,
      isPinned: false,
      blobs: [],
      layers: [],
      trees: [path],
      // One that a build made since they were measured counts as empty.
      sizeBytes: sizes.get(path) ?? 0,
      drop: async () => {},
    }
  }
}

/** What failed RUNs left for `tsbuild shell`. */
async function* failedRecords(store: Store): AsyncGenerator<CacheRecord> {
  for (const { id, path, step } of await new FailedSteps(store).list()) {
    yield {
      kind: 'failed-step',
      description: `${step?.title ?? 'not usable any more'} (tsbuild shell ${id})`,
      name: failedRecordName(id),
      lastUsedMs: step === undefined ? 0 : Date.parse(step.failedAt),
      isPinned: false,
      blobs: [],
      layers: [
        ...(step?.layers ?? []),
        ...(step?.mounts.flatMap(({ layers }) => layers ?? []) ?? []),
      ],
      trees: [path],
      sizeBytes: step?.sizeBytes ?? 0,
      drop: async () => {},
    }
  }
}
