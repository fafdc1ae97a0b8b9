import assert from 'node:assert/strict'
import {
  type DiffId,
  digestOf,
  OCI_LAYER_GZIP,
  serializeManifest,
  OCI_MANIFEST,
} from '../../registry-client/oci/index.ts'
import type { BuildEvent } from '../events.ts'
import { StepReporter } from '../solver/steps.ts'
import { type FindStepParts, findStep } from './find-step.ts'
import { CACHE_CONFIG, encodeCacheDocument } from './remote/cache-document.ts'
import type { CachePlace } from './remote/load-cache.ts'
import { RemoteCaches } from './remote/remote-caches.ts'
import { diffIdOf, layersOf, memoryRecords, STEP_INPUTS as inputs } from './testing/memory-cache.ts'

const signal = new AbortController().signal
const createdAt = '2026-01-02T03:04:05Z'
const key = digestOf('key')

/** A cache that says `key` gave `diffId`, and that holds the layers of `held`. */
function place(diffId: DiffId, held: readonly DiffId[]): CachePlace {
  const steps = [{ key, diffId, createdAt, inputs: undefined }]
  const config = Buffer.from(encodeCacheDocument({ diffIds: held, steps, aliases: [] }))
  const descriptor = { digest: digestOf(config), sizeBytes: config.byteLength }
  const { bytes, mediaType } = serializeManifest({
    mediaType: OCI_MANIFEST,
    config: { mediaType: CACHE_CONFIG, ...descriptor },
    layers: held.map((one) => ({ mediaType: OCI_LAYER_GZIP, digest: digestOf(one), sizeBytes: 1 })),
  })
  return {
    name: 'a cache',
    top: async () => ({ bytes, mediaType }),
    read: async () => config,
    blob: (layer) => ({ descriptor: layer, origins: [], file: undefined }),
  }
}

function makeParts(
  places: readonly CachePlace[],
  stored: readonly DiffId[] = [],
): FindStepParts & { readonly remote: RemoteCaches; readonly events: readonly BuildEvent[] } {
  const events: BuildEvent[] = []
  const reporter = new StepReporter((event) => events.push(event))
  return {
    events,
    records: memoryRecords(),
    layers: layersOf(stored),
    remote: RemoteCaches.open(places, reporter, signal),
    allowsNamesOnly: true,
  }
}

const [own, foreign] = [diffIdOf('own'), diffIdOf('foreign')]

describe('finding a step', () => {
  it('prefers what the state root has to what a remote cache says', async () => {
    const parts = makeParts([place(foreign, [foreign])], [own])
    await parts.records.writeStep(key, { diffId: own, createdAt, title: '', inputs })
    const found = await findStep(key, parts, signal)
    assert.deepEqual([found?.diffId, found?.place, found?.isForeign], [own, 'store', false])
  })

  it('takes a remote step whose layer is here for other reasons', async () => {
    const found = await findStep(key, makeParts([place(foreign, [])], [foreign]), signal)
    assert.deepEqual([found?.diffId, found?.place, found?.isForeign], [foreign, 'store', true])
  })

  it('takes the layer of a pruned step from a remote cache', async () => {
    const parts = makeParts([place(foreign, [own])])
    await parts.records.writeStep(key, { diffId: own, createdAt, title: '', inputs })
    const found = await findStep(key, parts, signal)
    assert.deepEqual([found?.diffId, found?.place], [own, 'remote'])
  })

  it('prefers a cache that holds the layer to one that names it', async () => {
    const parts = makeParts([place(own, []), place(foreign, [foreign])])
    const found = await findStep(key, parts, signal)
    assert.deepEqual([found?.diffId, found?.place], [foreign, 'remote'])
  })

  it('takes a name only when that is allowed', async () => {
    const parts = makeParts([place(foreign, [])])
    assert.equal((await findStep(key, parts, signal))?.place, 'name')
    assert.equal(await findStep(key, { ...parts, allowsNamesOnly: false }, signal), undefined)
  })

  it('does not come back to a layer that turned out to be none', async () => {
    const parts = makeParts([place(foreign, [foreign])])
    assert.equal((await findStep(key, parts, signal))?.place, 'remote')
    parts.remote.forget(foreign)
    assert.equal(await findStep(key, { ...parts, allowsNamesOnly: false }, signal), undefined)
  })

  it('goes without a cache that is none, and says so', async () => {
    const odd: CachePlace = {
      ...place(own, []),
      top: async () => ({ bytes: Buffer.from('<html>'), mediaType: OCI_MANIFEST }),
    }
    const parts = makeParts([odd, place(foreign, [foreign])])
    assert.equal((await findStep(key, parts, signal))?.diffId, foreign)
    const warnings = parts.events.flatMap((event) => (event.type === 'warning' ? [event.text] : []))
    assert.equal(warnings.length, 1)
    assert.match(warnings[0] ?? '', /could not use cache a cache: .*; building without it/)
  })
})
