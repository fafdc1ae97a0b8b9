import assert from 'node:assert/strict'
import type { PackEntry } from '../../snapshotter/index.ts'
import type { Worker } from '../worker/protocol.ts'
import { LayerMaking } from './layer-making.ts'

const never = new AbortController().signal
const DIRECTORY = { path: '/layers/1' }
const MEGABYTE = 1 << 20

function file(path: string, sizeBytes = 1): PackEntry {
  const metadata = { mode: 0o644, uid: 0, gid: 0, mtimeSec: 0 }
  const source = { kind: 'path', root: '/context', path: `from-${path}` } as const
  return { ...metadata, type: 'file', path, sizeBytes, source }
}

function planned(...pages: readonly (readonly PackEntry[])[]) {
  return {
    roots: new Set(['/context']),
    async *pages(): AsyncGenerator<readonly PackEntry[]> {
      yield* pages
    },
  }
}

/** Makes nothing, when it is told to. */
class HeldMaker implements Pick<Worker, 'makeLayer'> {
  readonly batches: string[][] = []
  made: () => void = () => undefined
  finish: () => void = () => undefined
  fail: (error: unknown) => void = () => undefined
  readonly #end = new Promise<void>((resolve, reject) => {
    this.finish = resolve
    this.fail = reject
  })

  async makeLayer(
    entries: AsyncIterable<readonly PackEntry[]>,
    _request: unknown,
    _signal: AbortSignal,
    onMade?: () => void,
  ): Promise<void> {
    this.made = () => onMade?.()
    for await (const batch of entries) this.batches.push(batch.map(({ path }) => path))
    await this.#end
  }
}

function start(...pages: readonly (readonly PackEntry[])[]) {
  const maker = new HeldMaker()
  const making = new LayerMaking(planned(...pages), DIRECTORY, maker, never)
  const reader = making.entries.pages()[Symbol.asyncIterator]()
  return { maker, making, next: () => reader.next() }
}

/** Whether it is still waiting when nothing else is left to do. */
async function isPending(work: Promise<unknown>): Promise<boolean> {
  const idle = new Promise((resolve) => setImmediate(resolve, 'idle'))
  return (await Promise.race([work.then(() => 'done'), idle])) === 'idle'
}

describe('a layer that is made for a RUN', () => {
  it('has the entries of a batch to pack when that is made, with their bytes in its directory', async () => {
    const { maker, making, next } = start([file('a')], [file('b')])
    assert.deepEqual([...making.entries.roots], ['/layers/1/fs'])
    const first = next()
    assert.equal(await isPending(first), true)
    maker.made()
    const source = { kind: 'path', root: '/layers/1/fs', path: 'a' }
    assert.deepEqual((await first).value, [{ ...file('a'), source }])
    const second = next()
    assert.equal(await isPending(second), true)
    maker.made()
    assert.equal((await second).done, false)
    const end = next()
    assert.equal(await isPending(end), true)
    maker.finish()
    assert.equal((await end).done, true)
    await making.done
  })

  it('gives those who pack it late all there is', async () => {
    const { maker, making, next } = start([file('a')], [file('b')])
    maker.finish()
    await making.done
    assert.equal((await next()).done, false)
    assert.equal((await next()).done, false)
    assert.equal((await next()).done, true)
  })

  it('fails with its packing when it cannot be made, also at the very end', async () => {
    const reason = new Error('it changed its size')
    for (const madeCount of [0, 1]) {
      const { maker, making, next } = start([file('a')])
      if (madeCount === 1) {
        maker.made()
        await next()
      }
      const reading = next()
      maker.fail(reason)
      await assert.rejects(making.done, reason)
      await assert.rejects(reading, reason)
    }
  })

  it('is handed on in parts of some megabytes', async () => {
    const { maker, making } = start(
      [file('a', 33 * MEGABYTE), file('b', 16 * MEGABYTE), file('c', 16 * MEGABYTE), file('d')],
      [file('e', 33 * MEGABYTE)],
    )
    maker.finish()
    await making.done
    assert.deepEqual(maker.batches, [['a'], ['b', 'c'], ['d'], ['e']])
  })
})
