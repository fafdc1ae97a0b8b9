import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { stdinChunks } from './stdin-chunks.ts'

const CHUNK_BYTES = 1 << 20
const CHUNKS = 200

function* zeros(): Generator<Buffer> {
  for (let left = CHUNKS; left > 0; left -= 1) yield Buffer.alloc(CHUNK_BYTES)
}

describe('bytes of stdin', () => {
  it('are not held once they were taken', async () => {
    setFlagsFromString('--expose-gc')
    const collect: () => void = runInNewContext('gc')
    const before = process.memoryUsage().arrayBuffers
    let taken = 0
    for await (const chunk of stdinChunks(Readable.from(zeros()), new AbortController().signal)) {
      taken += chunk.length
    }
    collect()
    assert.equal(taken, CHUNKS * CHUNK_BYTES)
    assert.ok(process.memoryUsage().arrayBuffers - before < (CHUNKS / 4) * CHUNK_BYTES)
  })
})
