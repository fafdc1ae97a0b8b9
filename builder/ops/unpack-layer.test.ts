import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, type DiffId, digestOf } from '../../registry-client/oci/index.ts'
import { kernel, type LayerBlob, openStore, type Store } from '../../snapshotter/index.ts'
import { temporaryDirectory } from '../../snapshotter/testing/temporary-directory.ts'
import { BuildLayer } from '../solver/layer.ts'
import { createLimits } from '../solver/limits.ts'
import type { UnpackRequest, UnpackResult, Worker } from '../worker/protocol.ts'
import { unpackLayer, type UnpackParts } from './unpack-layer.ts'
import { StepReporter } from '../solver/steps.ts'
import { UnpackReports } from './unpack-reports.ts'

const never = new AbortController().signal
const BYTES = 'a blob'
const digest: Digest = digestOf(BYTES)
const diffId: DiffId = digestOf('its tar') as string as DiffId
const blob: LayerBlob = {
  digest,
  sizeBytes: BYTES.length,
  compression: 'gzip',
  engine: undefined,
}
const layer = BuildLayer.ofRecord('base', { diffId, createdAt: undefined })

/** What the worker was asked, and what became of it. */
class RecordingWorker {
  readonly log: string[] = []
  readonly requests: UnpackRequest[] = []
  /** Settles the call at hand. */
  finish: () => void = () => undefined

  async unpackLayer(request: UnpackRequest, signal: AbortSignal): Promise<UnpackResult> {
    this.requests.push(request)
    const name = request.arriving?.path ?? 'store'
    this.log.push(`begin ${name}`)
    await new Promise<void>((resolve, reject) => {
      this.finish = resolve
      signal.addEventListener('abort', () => reject(new Error('stopped')), { once: true })
      if (request.arriving === undefined) resolve()
    }).catch((error: unknown) => {
      this.log.push(`stopped ${name}`)
      throw error
    })
    await mkdir(join(request.directory, 'fs'), { recursive: true })
    await writeFile(request.contents, '')
    return { uncompressedSizeBytes: 1 }
  }
}

async function withParts(
  test: (parts: UnpackParts, worker: RecordingWorker, store: Store) => Promise<void>,
): Promise<void> {
  await using place = await temporaryDirectory()
  await using store = await openStore({ path: join(place.path, 'root'), kernel }, never)
  const worker = new RecordingWorker()
  const parts = {
    store,
    limits: createLimits(1),
    worker: () => Promise.resolve(worker as unknown as Worker),
    reports: new UnpackReports(new StepReporter(() => {})),
  }
  await test(parts, worker, store)
}

/** Lets what is ready run. */
const turn = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('unpacking a layer', () => {
  it('begins while the blob arrives, and records the directory when both are done', () =>
    withParts(async (parts, worker, store) => {
      const directory = await unpackLayer(
        layer,
        parts,
        async (onArrival) => {
          onArrival({ blob, file: '/half' })
          await turn()
          assert.deepEqual(worker.log, ['begin /half'])
          assert.deepEqual(worker.requests[0]?.arriving, {
            path: '/half',
            sizeBytes: blob.sizeBytes,
          })
          worker.finish()
          await turn()
          assert.equal((await store.layers.get(diffId, never))?.directory, undefined)
          return blob
        },
        never,
      )
      assert.deepEqual((await store.layers.get(diffId, never))?.directory, directory)
    }))

  it('stops when the download fails, whose error it is, and records nothing', () =>
    withParts(async (parts, worker, store) => {
      const unpacking = unpackLayer(
        layer,
        parts,
        async (onArrival) => {
          onArrival({ blob, file: '/half' })
          await turn()
          throw new Error('digest mismatch')
        },
        never,
      )
      await assert.rejects(unpacking, /digest mismatch/)
      assert.deepEqual(worker.log, ['begin /half', 'stopped /half'])
      assert.equal(await store.layers.get(diffId, never), undefined)
    }))

  it('begins anew, after the first has ended, when the download does', () =>
    withParts(async (parts, worker) => {
      await unpackLayer(
        layer,
        parts,
        async (onArrival) => {
          onArrival({ blob, file: '/first' })
          await turn()
          onArrival({ blob, file: '/second' })
          await turn()
          worker.finish()
          return blob
        },
        never,
      )
      assert.deepEqual(worker.log, ['begin /first', 'stopped /first', 'begin /second'])
    }))

  it('takes a blob that is here from the store, and a directory that another process made', () =>
    withParts(async (parts, worker) => {
      const first = await unpackLayer(layer, parts, () => Promise.resolve(blob), never)
      assert.deepEqual(worker.log, ['begin store'])
      const fail = (): Promise<LayerBlob> => Promise.reject(new Error('asked again'))
      assert.deepEqual(await unpackLayer(layer, parts, fail, never), first)
    }))
})
