import assert from 'node:assert/strict'
import { closeSync, readFileSync } from 'node:fs'
import { lstat, mkdir, open, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../testing/requires.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { kernel } from './kernel.ts'
import { KernelError, type KernelErrorCode } from './kernel-error.ts'

function throwsWith(run: () => unknown, code: KernelErrorCode): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof KernelError, String(error))
    assert.equal(error.code, code, error.message)
    return true
  })
}

describe('locks', () => {
  it('are held by one writer or many readers', async () => {
    await using directory = await temporaryDirectory()
    const path = join(directory.path, 'lock')
    await using first = await open(path, 'w')
    await using second = await open(path, 'r')
    assert.equal(kernel.tryLock(first.fd, 'exclusive'), true)
    assert.equal(kernel.tryLock(second.fd, 'shared'), false)
    kernel.unlock(first.fd)
    assert.equal(kernel.tryLock(second.fd, 'shared'), true)
    assert.equal(kernel.tryLock(first.fd, 'shared'), true)
    assert.equal(kernel.tryLock(first.fd, 'exclusive'), false)
  })

  it('need an open file', () => {
    throwsWith(() => kernel.tryLock(1_000_000, 'shared'), 'EBADF')
    throwsWith(() => kernel.unlock(-1), 'bad-argument')
  })
})

describe('opening in a root', () => {
  it('follows symlinks as in a chroot', async () => {
    await using directory = await temporaryDirectory()
    const root = directory.path
    await mkdir(join(root, 'etc'))
    await writeFile(join(root, 'etc/passwd'), 'inside')
    await symlink('/etc/passwd', join(root, 'absolute'))
    await symlink('../../../../etc/passwd', join(root, 'etc/up'))
    for (const path of ['etc/passwd', '/etc/passwd', 'absolute', 'etc/up', '../../etc/passwd']) {
      const fd = kernel.openInRoot(root, path)
      try {
        assert.equal(readFileSync(fd, 'utf8'), 'inside', path)
      } finally {
        closeSync(fd)
      }
    }
  })

  it('opens only regular files', async () => {
    await using directory = await temporaryDirectory()
    const root = directory.path
    kernel.makeNode(join(root, 'pipe'), 'fifo', { mode: 0o600, major: 0, minor: 0 })
    await symlink('/proc/self/environ', join(root, 'link'))
    throwsWith(() => kernel.openInRoot(root, 'pipe'), 'not-a-file')
    throwsWith(() => kernel.openInRoot(root, ''), 'ENOENT')
    throwsWith(() => kernel.openInRoot(root, '.'), 'not-a-file')
    throwsWith(() => kernel.openInRoot(root, 'link'), 'ENOENT')
    throwsWith(() => kernel.openInRoot(root, 'a\0b'), 'bad-argument')
  })
})

describe('attributes and nodes', () => {
  it('are set and read back; an absent attribute is undefined', async () => {
    await using directory = await temporaryDirectory()
    const value = Buffer.from([0, 255, 10])
    kernel.setXattr(directory.path, 'user.test', value)
    assert.deepEqual(kernel.getXattr(directory.path, 'user.test'), value)
    assert.equal(kernel.getXattr(directory.path, 'user.other'), undefined)
    throwsWith(() => kernel.getXattr(join(directory.path, 'gone'), 'user.test'), 'ENOENT')
    throwsWith(() => kernel.setXattr(directory.path, 'nonamespace', value), 'ENOTSUP')
  })

  describe('as root', () => {
    requires('root')

    it('make devices with the mode asked for', async () => {
      await using directory = await temporaryDirectory()
      const path = join(directory.path, 'device')
      kernel.makeNode(path, 'char', { mode: 0o666, major: 1, minor: 7 })
      const stats = await lstat(path)
      assert.ok(stats.isCharacterDevice() && stats.rdev === 0x107 && (stats.mode & 0o777) === 0o666)
      throwsWith(() => kernel.makeNode(path, 'char', { mode: 0, major: 1, minor: 7 }), 'EEXIST')
    })
  })
})

describe('spreading the children of a directory', () => {
  it('is done where the filesystem can, any number of times, and a hint elsewhere', async () => {
    await using directory = await temporaryDirectory()
    const isDone = kernel.spreadChildren(directory.path)
    assert.equal(kernel.spreadChildren(directory.path), isDone)
    assert.equal(kernel.spreadChildren('/proc'), false)
    throwsWith(() => kernel.spreadChildren(join(directory.path, 'gone')), 'ENOENT')
    throwsWith(() => kernel.spreadChildren('/proc/version'), 'ENOTDIR')
  })
})

describe('syncing a filesystem', () => {
  it('takes any path on it', async () => {
    await using directory = await temporaryDirectory()
    await kernel.syncFilesystem(directory.path)
    await assert.rejects(kernel.syncFilesystem('/nonexistent'), { code: 'ENOENT', syscall: 'open' })
  })
})
