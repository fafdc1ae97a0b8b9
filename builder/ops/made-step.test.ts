import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import {
  DisposableScope,
  EntryFile,
  kernel,
  openStore,
  type PackEntry,
  type PackResult,
} from '../../snapshotter/index.ts'
import { temporaryDirectory } from '../../snapshotter/testing/temporary-directory.ts'
import type { LayerFormat } from '../request.ts'
import { createLimits } from '../solver/limits.ts'
import { packEntries } from '../worker/pack.ts'
import type { MakeLayerRequest, PackTarget, Worker, WorkerInfo } from '../worker/protocol.ts'
import { makeHere } from '../worker/testing/make-here.ts'
import { madeStep } from './made-step.ts'

const never = new AbortController().signal
const FORMAT: LayerFormat = {
  compression: 'uncompressed',
  level: undefined,
  isForced: false,
  useOciMediaTypes: true,
  rewriteTimestamp: false,
}

/** Makes and packs in this process. */
class PlainWorker implements Pick<Worker, 'info' | 'makeLayer' | 'packEntries'> {
  readonly info: WorkerInfo
  readonly #onMade: () => Promise<void>

  constructor(rung: WorkerInfo['rung'], onMade: () => Promise<void>) {
    this.info = { rung, driver: 'copy', notice: undefined }
    this.#onMade = onMade
  }

  async makeLayer(
    entries: AsyncIterable<readonly PackEntry[]>,
    request: MakeLayerRequest,
    signal: AbortSignal,
    onMade?: () => void,
  ): Promise<void> {
    await makeHere(entries, request, signal, async () => {
      await this.#onMade()
      onMade?.()
    })
  }

  async packEntries(
    entries: AsyncIterable<readonly PackEntry[]>,
    request: PackTarget,
    signal: AbortSignal,
  ): Promise<PackResult> {
    return await packEntries(entries, request, kernel, signal)
  }
}

/** A COPY of one file, with all that it needs. */
async function lab() {
  const scope = new DisposableScope()
  const { path } = scope.use(await temporaryDirectory())
  const store = scope.use(await openStore({ path: join(path, 'root'), kernel }, never))
  const context = join(path, 'context')
  await mkdir(context)
  await writeFile(join(context, 'f'), 'bytes')
  const limits = createLimits(1)
  return {
    limits,
    source: join(context, 'f'),
    store,
    step: async (worker: PlainWorker, paths: readonly string[] = ['f']) => {
      const entries = paths.map((path): PackEntry => {
        const metadata = { mode: 0o644, uid: 0, gid: 0, mtimeSec: 1 }
        const source = { kind: 'path', root: context, path: 'f' } as const
        return { type: 'file', path, ...metadata, sizeBytes: 5, source }
      })
      const planned = await EntryFile.of(() => store.lease.temporaryPath(), [entries])
      const parts = {
        ...{ store, kernel, limits, packSignal: never, nowMs: () => 0 },
        worker: () => Promise.resolve(worker),
        format: FORMAT,
      }
      const named = (error: unknown): unknown => new Error('packing', { cause: error })
      return await madeStep(planned, { isReadByRun: true, named }, parts, never)
    },
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  }
}

describe('a layer that a RUN sees', () => {
  it('has the same bytes in its directory and its blob, whatever becomes of the sources', async () => {
    await using bench = await lab()
    const worker = new PlainWorker('root', () => writeFile(bench.source, 'other'))
    const { unpacked, packing } = await bench.step(worker)
    const { diffId } = await packing
    const directory = unpacked?.directory?.path ?? ''
    assert.equal(await readFile(join(directory, 'fs/f'), 'utf8'), 'bytes')
    const stored = await bench.store.layers.get(diffId, never)
    assert.equal(stored?.directory?.path, directory)
    const digest = stored?.blobs[0]?.digest
    assert.ok(digest !== undefined)
    const blob = await readFile(bench.store.blobs.path(digest))
    assert.ok(blob.includes('bytes'))
    assert.ok(!blob.includes('other'))
  })

  it('is not made of a source that is gone, which is told once', async () => {
    await using bench = await lab()
    await rm(bench.source)
    const worker = new PlainWorker('root', () => Promise.resolve())
    await assert.rejects(bench.step(worker), { code: 'ENOENT' })
  })

  it('leaves nothing when it fails while its packing waits for its turn', async () => {
    await using bench = await lab()
    const { store, limits } = bench
    const before = await readdir(store.lease.directory)
    let release = (): void => undefined
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const others = Array.from({ length: limits.cpu.concurrency }, () => limits.cpu(() => released))
    const refusal = new Error('refused')
    const worker = new PlainWorker('root', () => Promise.reject(refusal))
    // More than a page, so that they lie in a file.
    const paths = Array.from({ length: 600 }, (_, index) => `f${1000 + index}`)
    await assert.rejects(bench.step(worker, paths), refusal)
    assert.equal(limits.cpu.pendingCount, 1)
    release()
    await Promise.all(others)
    while (limits.cpu.activeCount + limits.cpu.pendingCount > 0) await setImmediate()
    assert.deepEqual(await readdir(store.lease.directory), before)
  })

  it('is only packed where the worker may not read a source that the user may', async () => {
    const refusal = Object.assign(new Error('refused'), { code: 'EACCES' })
    await using bench = await lab()
    const worker = new PlainWorker('userns-subids', () => Promise.reject(refusal))
    const { unpacked, packing, unfinished } = await bench.step(worker)
    assert.equal(unpacked?.directory, undefined)
    assert.equal(unfinished, packing)
    const { diffId } = await packing
    const stored = await bench.store.layers.get(diffId, never)
    assert.equal(stored?.directory, undefined)
    const other = new PlainWorker('root', () => Promise.reject(refusal))
    await assert.rejects(bench.step(other), refusal)
  })
})
