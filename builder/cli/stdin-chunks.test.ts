import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { stdinChunks } from './stdin-chunks.ts'

const CHUNK_BYTES = 1 << 20
const CHUNKS = 200
const HELD_MAX = (CHUNKS / 4) * CHUNK_BYTES

function* zeros(): Generator<Buffer> {
  for (let left = CHUNKS; left > 0; left -= 1) yield Buffer.alloc(CHUNK_BYTES)
}

describe('bytes of stdin', () => {
  it('are not held once they were taken', async () => {
    setFlagsFromString('--expose-gc')
    const collect: () => void = runInNewContext('gc')
    setFlagsFromString('--no-expose-gc')
    const before = process.memoryUsage().arrayBuffers
    const heldBytes = (): number => process.memoryUsage().arrayBuffers - before
    let taken = 0
    for await (const chunk of stdinChunks(Readable.from(zeros()), new AbortController().signal)) {
      taken += chunk.length
      if (taken < CHUNKS * CHUNK_BYTES) continue
      // V8 counts buffers off some time after the collection that found them.
      for (let times = 0; times < 10 && heldBytes() >= HELD_MAX; times += 1) {
        collect()
        await new Promise(setImmediate)
      }
      assert.ok(heldBytes() < HELD_MAX, `${heldBytes()} bytes are held`)
    }
    assert.equal(taken, CHUNKS * CHUNK_BYTES)
  })
})
