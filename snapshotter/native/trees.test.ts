import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmod,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { overlayDiff, toPackEntry } from '../layer/diff.ts'
import { encodePath } from '../layer/path-bytes.ts'
import { requires } from '../testing/requires.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { kernel } from './kernel.ts'
import { KernelError } from './kernel-error.ts'
import { never, plain, rejectsWith, unpackBytes } from './testing/layer-files.ts'
import { paxHeader, rawTar } from './testing/raw-tar.ts'

/** A tree of `depth` directories one in another, far beyond PATH_MAX, made in pieces by an archive. */
async function deepTree(directory: string, depth: number): Promise<string> {
  const { root } = await unpackBytes(
    directory,
    rawTar(paxHeader({ path: `${'dir/'.repeat(depth)}file` }), { name: 'x', body: 'deep' }),
  )
  return root
}

describe('making a tree of files that are moved', () => {
  it('gives each its place, mode and time in one step, and follows no symlink out', async () => {
    await using directory = await temporaryDirectory()
    const from = join(directory.path, 'from')
    const root = join(directory.path, 'root')
    for (const path of ['from/in', 'outside', 'root/there/full']) {
      await mkdir(join(directory.path, path), { recursive: true })
    }
    await writeFile(join(directory.path, 'outside/f'), 'outside')
    await writeFile(join(from, 'in/f'), 'inside')
    await utimes(join(from, 'in/f'), plain.mtimeSec, plain.mtimeSec + 0.5)
    await writeFile(join(from, 'g'), 'g')
    await symlink('/in', join(from, 'link'))
    await symlink('../outside', join(from, 'out'))
    await symlink('../outside', join(root, 'away'))
    const move = (path: string, source: string) => ({
      ...({ ...plain, type: 'file', path, sizeBytes: 0 } as const),
      source: { kind: 'path', root: from, path: source } as const,
    })
    await using maker = kernel.createMaker({
      ...{ root, whiteouts: 'plain', userXattr: false, ownership: 'none' },
      ...{ files: 'moved', signal: never },
    })
    const { ino } = await lstat(join(from, 'g'))
    await maker.add([
      { ...plain, type: 'dir', path: 'away', mode: 0o700 },
      move('away/f', 'link/f'),
      move('there', 'g'),
    ])
    assert.deepEqual(await maker.finish(), [])
    assert.equal(await readFile(join(root, 'away/f'), 'utf8'), 'inside')
    assert.equal((await lstat(join(root, 'away/f'))).mtimeMs, plain.mtimeSec * 1000)
    const there = await lstat(join(root, 'there'))
    assert.deepEqual([there.ino, there.mode & 0o7777], [ino, plain.mode])
    assert.equal(there.mtimeMs, plain.mtimeSec * 1000)
    await rejectsWith(maker.add([move('h', 'out/f')]), 'ENOENT')
    assert.deepEqual(await readdir(join(directory.path, 'outside')), ['f'])
    assert.deepEqual((await readdir(from)).sort(), ['in', 'link', 'out'])
  })

  it('leaves them where a whiteout of the same layer hides what was there', async () => {
    await using directory = await temporaryDirectory()
    const { path: root } = directory
    await mkdir(join(root, 'd'))
    for (const path of ['from', 'd/f', 'd/old']) await writeFile(join(root, path), path)
    await using maker = kernel.createMaker({
      ...{ root, whiteouts: 'apply', userXattr: false, ownership: 'none' },
      ...{ files: 'moved', signal: never },
    })
    await maker.add([
      {
        ...({ ...plain, type: 'file', path: 'd/f', sizeBytes: 4 } as const),
        source: { kind: 'path', root, path: 'from' },
      },
      { type: 'opaque', path: 'd' },
    ])
    assert.deepEqual(await readdir(join(root, 'd')), ['f'])
    assert.equal(await readFile(join(root, 'd/f'), 'utf8'), 'from')
  })
})

describe('scanning a tree', () => {
  it('sorts by the bytes of path components, parents first', async () => {
    await using directory = await temporaryDirectory()
    const root = directory.path
    for (const path of ['a/b', 'a-b', 'a0', 'ab/c', 'Z'])
      await mkdir(join(root, path), { recursive: true })
    await writeFile(encodePath(`${root}/\udcff`), '')
    await writeFile(join(root, '\u{10000}'), '')
    const scan = await kernel.scanTree({ root, withXattrs: false, signal: never })
    const paths = scan.map((entry) => entry.path)
    assert.deepEqual(paths, ['Z', 'a', 'a/b', 'a-b', 'a0', 'ab', 'ab/c', '\u{10000}', '\udcff'])
  })

  it('tells what the kernel knows about each entry', async () => {
    await using directory = await temporaryDirectory()
    const root = directory.path
    await writeFile(join(root, 'file'), 'content', { mode: 0o640 })
    await utimes(join(root, 'file'), 1, 1_600_000_000.5)
    await link(join(root, 'file'), join(root, 'hard'))
    await symlink('über/all', join(root, 'link'))
    kernel.makeNode(join(root, 'pipe'), 'fifo', { mode: 0o622, major: 0, minor: 0 })
    const scan = await kernel.scanTree({ root, withXattrs: true, signal: never })
    const [file, hard, symbolic, pipe] = scan
    const stats = await lstat(join(root, 'file'))
    assert.deepEqual(file, {
      path: 'file',
      type: 'file',
      mode: 0o640,
      uid: stats.uid,
      gid: stats.gid,
      sizeBytes: 7,
      mtimeSec: 1_600_000_000,
      mtimeNsec: 500_000_000,
      ctimeSec: Math.floor(stats.ctimeMs / 1000),
      ctimeNsec: file?.ctimeNsec,
      dev: stats.dev,
      ino: stats.ino,
      nlink: 2,
    })
    assert.equal(hard?.ino, stats.ino)
    assert.ok(symbolic?.type === 'symlink' && symbolic.target === 'über/all')
    assert.ok(pipe?.type === 'fifo' && pipe.mode === 0o622)
  })

  it('goes deeper than PATH_MAX and than the limit of open files', async function () {
    this.timeout(60_000)
    await using directory = await temporaryDirectory()
    const depth = 1500
    const root = await deepTree(directory.path, depth)
    const scan = await kernel.scanTree({ root, withXattrs: true, signal: never })
    assert.equal(scan.length, depth + 1)
    const last = scan.at(-1)?.path ?? ''
    assert.ok(last.length > 4 * depth && last.endsWith('dir/file'))
    const [digest] = await kernel.hashFiles(root, [last], never)
    assert.equal(typeof digest, 'string')
    const copy = join(directory.path, 'copy')
    await mkdir(copy)
    {
      await using maker = kernel.createMaker({
        ...{ root: copy, whiteouts: 'apply', userXattr: false, ownership: 'owners', signal: never },
      })
      await maker.add(overlayDiff(scan).map((entry) => toPackEntry(entry, root)))
      await maker.finish()
    }
    assert.equal(
      (await kernel.scanTree({ root: copy, withXattrs: false, signal: never })).length,
      depth + 1,
    )
    await kernel.removeTree(root, never)
    await kernel.removeTree(copy, never)
    assert.deepEqual(await readdir(directory.path), [])
  })

  it('lists the directories asked for, in their order, empty when one is gone', async () => {
    await using directory = await temporaryDirectory()
    const root = directory.path
    await mkdir(join(root, 'a/inner'), { recursive: true })
    await writeFile(join(root, 'a/file'), '')
    await symlink('a', join(root, 'link'))
    const lists = await kernel.listDirectories(['a', 'gone', '', 'link', 'a/file', 'a/inner'], {
      root,
      withXattrs: false,
      signal: never,
      entriesMax: 100,
    })
    const paths = lists.map(({ entries }) => entries.map((entry) => entry.path))
    assert.deepEqual(paths, [['a/file', 'a/inner'], [], ['a', 'link'], [], [], []])
  })

  it('says which root is missing', async () => {
    const root = '/nonexistent/root'
    const makeOptions = { whiteouts: 'overlay', userXattr: false, ownership: 'owners' } as const
    const calls: readonly (readonly [doing: string, call: () => Promise<unknown>])[] = [
      ['scan', () => kernel.scanTree({ root, withXattrs: false, signal: never })],
      [
        'make the layer in',
        async () => kernel.createMaker({ root, ...makeOptions, signal: never }),
      ],
    ]
    for (const [doing, call] of calls) {
      await assert.rejects(call, (error: unknown) => {
        assert.ok(error instanceof KernelError)
        assert.deepEqual([error.syscall, error.code], ['open', 'ENOENT'])
        assert.ok(error.errno > 0)
        const message = `could not ${doing} '/nonexistent/root'`
        assert.ok(error.message.startsWith(message), error.message)
        assert.match(error.message, /No such file or directory/)
        return true
      })
    }
  })

  it('rejects with the reason of its signal', async () => {
    const reason = new Error('stop')
    const signal = AbortSignal.abort(reason)
    await assert.rejects(kernel.scanTree({ root: '/', withXattrs: false, signal }), reason)
    const controller = new AbortController()
    const scan = kernel.scanTree({ root: '/usr', withXattrs: false, signal: controller.signal })
    controller.abort(reason)
    await assert.rejects(scan, reason)
  })
})

describe('hashing files', () => {
  it('gives each digest, or the error in its place', async () => {
    await using directory = await temporaryDirectory()
    const root = directory.path
    await writeFile(join(root, 'empty'), '')
    await symlink('empty', join(root, 'link'))
    await mkdir(join(root, 'dir'))
    const [empty, gone, linked, dir] = await kernel.hashFiles(
      root,
      ['empty', 'gone', 'link', 'dir'],
      never,
    )
    assert.equal(empty, 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
    assert.ok(gone instanceof KernelError && gone.code === 'ENOENT' && gone.path === 'gone')
    assert.ok(linked instanceof KernelError && linked.code === 'ELOOP')
    assert.ok(dir instanceof KernelError && dir.code === 'not-a-file')
    // There is no memory at address 0.
    const [broken] = await kernel.hashFiles(`/proc/${process.pid}`, ['mem'], never)
    assert.ok(broken instanceof KernelError && broken.code === 'EIO' && broken.path === 'mem')
  })
})

describe('removing a tree', () => {
  it('removes files, links and closed directories, and follows no symlink', async () => {
    await using directory = await temporaryDirectory()
    const root = join(directory.path, 'tree')
    await mkdir(join(root, 'closed/inner'), { recursive: true })
    await writeFile(join(root, 'closed/inner/file'), '')
    await writeFile(join(directory.path, 'canary'), '')
    await symlink(directory.path, join(root, 'link'))
    await chmod(join(root, 'closed/inner'), 0)
    await chmod(join(root, 'closed'), 0)
    await kernel.removeTree(root, never)
    assert.deepEqual(await readdir(directory.path), ['canary'])
  })

  it('may go on several times at once', async () => {
    await using directory = await temporaryDirectory()
    const root = join(directory.path, 'tree')
    for (let round = 0; round < 5; round += 1) {
      const deep = Array.from({ length: 100 }, (_, level) => `d${level}`).join('/')
      for (let index = 0; index < 20; index += 1) {
        await mkdir(join(root, `${index}`, deep), { recursive: true })
      }
      await Promise.all(Array.from({ length: 4 }, () => kernel.removeTree(root, never)))
      assert.deepEqual(await readdir(directory.path), [])
    }
  })

  it('minds nothing that is missing, and removes a single file', async () => {
    await using directory = await temporaryDirectory()
    await kernel.removeTree(join(directory.path, 'no/such'), never)
    await writeFile(join(directory.path, 'file'), '')
    await kernel.removeTree(`${directory.path}/file`, never)
    assert.deepEqual(await readdir(directory.path), [])
    await rejectsWith(kernel.removeTree(`${directory.path}/..`, never), 'bad-argument')
  })

  describe('with a mount in it', () => {
    requires('root')

    it('does not enter the mount', async () => {
      await using directory = await temporaryDirectory()
      const mount = join(directory.path, 'tree/mount')
      await mkdir(mount, { recursive: true })
      assert.equal(spawnSync('mount', ['-t', 'tmpfs', 'none', mount]).status, 0)
      try {
        await writeFile(join(mount, 'canary'), '')
        await rejectsWith(kernel.removeTree(join(directory.path, 'tree'), never), 'EXDEV')
        assert.deepEqual(await readdir(mount), ['canary'])
      } finally {
        spawnSync('umount', [mount])
      }
    })
  })
})
