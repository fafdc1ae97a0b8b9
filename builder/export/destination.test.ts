import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { writeDestination } from './destination.ts'

async function* bytes(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('bytes')
}

describe('writeDestination', () => {
  const write = (dest: string, source = bytes(), cwd = '/'): Promise<void> =>
    writeDestination(dest, source, { cwd, stdout: new PassThrough() }, new AbortController().signal)

  it('names what could not be written, a device too', async () => {
    await assert.rejects(write('/dev/full'), {
      code: 'destination-unusable',
      message: 'could not write /dev/full: no space left on device',
    })
  })

  it('throws what the source threw, and leaves no file', async () => {
    const cwd = await mkdtemp(join(tmpdir(), 'tsbuild-destination-'))
    try {
      const failure = new Error('the source broke')
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        yield* bytes()
        throw failure
      }
      for (const dest of ['file', '/dev/null']) {
        await assert.rejects(write(dest, broken(), cwd), failure)
      }
      assert.deepEqual(await readdir(cwd), [])
    } finally {
      await rm(cwd, { recursive: true })
    }
  })
})
