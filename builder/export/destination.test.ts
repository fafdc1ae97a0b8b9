import assert from 'node:assert/strict'
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  symlink,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { checkFileDestination, writeDestination } from './destination.ts'

async function* bytes(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('bytes')
}

async function* twice(): AsyncGenerator<Uint8Array> {
  yield* bytes()
  yield* bytes()
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

  it('makes and replaces the file that links lead to, as the check before the build says', async () => {
    const cwd = await mkdtemp(join(tmpdir(), 'tsbuild-destination-'))
    try {
      await mkdir(join(cwd, 'real'))
      await symlink('real', join(cwd, 'd'))
      await symlink('../file', join(cwd, 'real/second'))
      await symlink('d/second', join(cwd, 'first'))
      await symlink('absent/file', join(cwd, 'far'))
      await symlink('circle', join(cwd, 'circle'))
      const check = (dest: string): Promise<void> =>
        checkFileDestination(dest, 'oci', { cwd, stdout: new PassThrough() })
      await check('first')
      await write('first', bytes(), cwd)
      assert.equal(await readFile(join(cwd, 'file'), 'utf8'), 'bytes')
      await check('d/second')
      await write('d/second', twice(), cwd)
      assert.equal(await readFile(join(cwd, 'file'), 'utf8'), 'bytesbytes')
      assert.equal(await readlink(join(cwd, 'first')), 'd/second')
      assert.deepEqual(await readdir(join(cwd, 'real')), ['second'])
      await assert.rejects(check('far'), {
        code: 'destination-unusable',
        message: `could not write output type=oci: the directory of ${await realpath(cwd)}/absent/file, where dest far leads, does not exist`,
      })
      await assert.rejects(check('circle'), { code: 'destination-unusable', message: /circle: / })
    } finally {
      await rm(cwd, { recursive: true })
    }
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
