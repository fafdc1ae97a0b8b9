import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { PassThrough, Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { readStdinDockerfile, readStdinInput } from './stdin-input.ts'

const SIGNAL = new AbortController().signal

describe('stdin of a build', () => {
  it('is a Dockerfile, however it is cut into pieces', async () => {
    const text = `FROM scratch\n# ${'ä'.repeat(4000)}\n`
    const bytes = Buffer.from(text)
    const pieces = [bytes.subarray(0, 3), bytes.subarray(3, 2000), bytes.subarray(2000)]
    const input = await readStdinInput(Readable.from(pieces), SIGNAL)
    assert.ok(input.kind === 'dockerfile')
    assert.equal(input.text, text)
  })

  it('is an archive that lies in a file until it is disposed of', async () => {
    const bytes = gzipSync(Buffer.alloc(100_000, 'x'))
    const input = await readStdinInput(Readable.from([bytes]), SIGNAL)
    assert.ok(input.kind === 'archive')
    assert.deepEqual(await readFile(input.path), bytes)
    await input[Symbol.asyncDispose]()
    await assert.rejects(readFile(input.path), { code: 'ENOENT' })
  })

  it('is refused when nothing comes', async () => {
    const refused = { code: 'context-unreadable', message: /it is empty/ }
    await assert.rejects(readStdinInput(Readable.from([]), SIGNAL), refused)
  })

  it('is waited for no longer than the signal allows', async () => {
    for (const read of [readStdinInput, readStdinDockerfile]) {
      const controller = new AbortController()
      const reading = read(new PassThrough(), controller.signal)
      controller.abort(new Error('interrupted'))
      await assert.rejects(reading, /interrupted/)
    }
  })
})
