import assert from 'node:assert/strict'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Digest, digestOf } from '../../registry-client/oci/index.ts'
import { kernel, type Kernel, type LayerPath } from '../../snapshotter/index.ts'
import { temporaryPaths } from '../../snapshotter/testing/temporary-directory.ts'
import type { TreeFile } from '../ops/copy-source.ts'
import { DirectoryTree } from './directory-tree.ts'
import { ContextError } from './errors.ts'
import { compileMatcher } from './ignore.ts'
import { StatCache } from './stat-cache.ts'

/** Long enough ago for a file to be settled. */
const OLD_SEC = 1_600_000_000

describe('DirectoryTree', () => {
  let directory = ''
  let root = ''
  const listed: LayerPath[] = []
  const hashed: LayerPath[] = []
  const recording: Pick<Kernel, 'listDirectories' | 'listChildren' | 'hashFiles'> = {
    listChildren: kernel.listChildren,
    listDirectories: (paths, options) => {
      listed.push(...paths)
      return kernel.listDirectories(paths, options)
    },
    hashFiles: (host, paths, signal) => {
      hashed.push(...paths)
      return kernel.hashFiles(host, paths, signal)
    },
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-tree-'))
    root = join(directory, 'context')
    mkdirSync(root)
    listed.length = 0
    hashed.length = 0
  })

  afterEach(() => rmSync(directory, { recursive: true }))

  const write = (path: string, content = ''): void => {
    const file = join(root, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
  }

  const open = (
    patterns: readonly string[] = [],
    statCache?: () => Promise<StatCache>,
    now?: () => number,
  ): DirectoryTree =>
    new DirectoryTree({
      kernel: recording,
      root,
      description: 'the build context',
      ignore: compileMatcher(patterns),
      ownership: 'root',
      statCache,
      signal: new AbortController().signal,
      ...(now === undefined ? {} : { now }),
    })

  const names = async (tree: DirectoryTree, path = ''): Promise<string[]> =>
    (await tree.list(path)).map((entry) => entry.path)

  const walked = async (tree: DirectoryTree, path = ''): Promise<string[]> => {
    const paths: string[] = []
    for await (const page of tree.walk(path)) paths.push(...page.map((entry) => entry.path))
    return paths
  }

  const filesAt = async (tree: DirectoryTree, paths: readonly LayerPath[]): Promise<TreeFile[]> => {
    const entries = await Promise.all(paths.map((path) => tree.lookup(path)))
    return entries.flatMap((entry) => (entry?.type === 'file' ? [entry] : []))
  }

  const digests = async (
    tree: DirectoryTree,
    paths: readonly LayerPath[],
  ): Promise<readonly Digest[]> => await tree.fileDigests(await filesAt(tree, paths))

  it('gives metadata as it goes into a layer: owned by root, symlinks 0777, hardlinks grouped', async () => {
    write('f', 'x')
    chmodSync(join(root, 'f'), 0o4750)
    linkSync(join(root, 'f'), join(root, 'g'))
    symlinkSync('../out', join(root, 'l'))
    utimesSync(join(root, 'f'), OLD_SEC, OLD_SEC)
    const tree = open()
    const f = await tree.lookup('f')
    assert(f?.type === 'file' && f.linkGroup !== undefined)
    const base = { uid: 0, gid: 0, mtimeSec: OLD_SEC, mode: 0o4750 }
    const { stat, ...shown } = f
    const { linkGroup } = f
    assert.deepEqual(shown, { ...base, type: 'file', path: 'f', sizeBytes: 1, linkGroup })
    assert.deepEqual(await tree.lookup('g'), { ...f, path: 'g', stat: { ...stat, path: 'g' } })
    const link = await tree.lookup('l')
    assert.deepEqual([link?.type, link?.mode], ['symlink', 0o777])
    assert.equal(await tree.lookup('l/x'), undefined)
    assert.equal(await tree.lookup('f/x'), undefined)
  })

  it('lists only the directories that somebody asks for', async () => {
    write('a/b/c/f')
    write('big/x/y')
    const tree = open()
    assert.equal((await tree.lookup('a/b/c/f'))?.type, 'file')
    assert.deepEqual(listed, ['', 'a', 'a/b', 'a/b/c'])
    await tree.list('a/b')
    assert.equal(listed.length, 4)
    assert.deepEqual(await walked(tree, 'a'), ['a/b', 'a/b/c', 'a/b/c/f'])
    assert.deepEqual(listed.slice(4), ['a', 'a/b', 'a/b/c'])
  })

  it('never lists a directory that is excluded as a whole', async () => {
    write('node_modules/x/y')
    write('src/f')
    const tree = open(['node_modules', '!src/g'])
    assert.deepEqual(await walked(tree), ['src', 'src/f'])
    assert.deepEqual(listed, ['', 'src'])
    assert.deepEqual(await walked(tree, 'node_modules/x'), [])
    assert.equal(await tree.lookup('node_modules/x'), undefined)
    assert.equal(tree.missingReason('node_modules/x'), undefined)
  })

  it('shows an excluded directory when something in it is brought back', async () => {
    write('d/keep/f')
    write('d/drop')
    write('e/drop')
    const tree = open(['*', '!d/keep/f', '!e/nothing'])
    assert.deepEqual(await names(tree), ['d'])
    assert.deepEqual(await names(tree, 'd'), ['d/keep'])
    assert.deepEqual(await names(tree, 'd/keep'), ['d/keep/f'])
    assert.deepEqual(await names(tree, 'e'), [])
    assert.deepEqual(await walked(tree), ['d', 'd/keep', 'd/keep/f'])
  })

  it('leaves sockets out', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(join(root, 's'), resolve))
    write('f')
    assert.deepEqual(await names(open()), ['f'])
    assert.deepEqual(await walked(open()), ['f'])
    await new Promise((resolve) => server.close(resolve))
  })

  it('names the file that cannot be read', async () => {
    write('c')
    const late = open()
    const files = await filesAt(late, ['c'])
    rmSync(join(root, 'c'))
    await assert.rejects(late.fileDigests(files), (error) => {
      assert(error instanceof ContextError)
      assert.deepEqual([error.code, error.path], ['context-unreadable', 'c'])
      return true
    })
  })

  it('names the file whose bytes are an error', async () => {
    // A regular file for stat(2); there is no memory at address 0, so reading it gives EIO.
    root = `/proc/${process.pid}`
    const tree = open()
    const files = await filesAt(tree, ['mem'])
    assert.equal(files.length, 1)
    await assert.rejects(tree.fileDigests(files), (error) => {
      assert(error instanceof ContextError)
      assert.deepEqual([error.code, error.path], ['context-unreadable', 'mem'])
      assert.match(error.message, /EIO|[Ii]nput\/output error/)
      return true
    })
  })

  it('keeps names that are not UTF-8 apart', async () => {
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff])]), '1')
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xfe])]), '2')
    const tree = open()
    const [first = '', second = ''] = await names(tree)
    assert.notEqual(first, second)
    assert.deepEqual(await digests(tree, [first, second]), [digestOf('2'), digestOf('1')])
  })

  describe('with a stat cache', () => {
    const openCache = (): Promise<StatCache> =>
      StatCache.open({ file: join(directory, 'cache'), temporaryPath: temporaryPaths(directory) })
    const later = (): number => Date.now() + 10_000

    it('does not read a file again that looks the same', async () => {
      write('a', '1')
      write('d/b', '2')
      for (const expected of [2, 0]) {
        hashed.length = 0
        const tree = open([], openCache, later)
        assert.deepEqual(await digests(tree, ['a', 'd/b']), [digestOf('1'), digestOf('2')])
        assert.equal(hashed.length, expected)
        await tree.save()
      }
    })

    it('reads a file again that was changed, even with its old time and size', async () => {
      write('a', '1')
      utimesSync(join(root, 'a'), OLD_SEC, OLD_SEC)
      const first = open([], openCache, later)
      await digests(first, ['a'])
      await first.save()
      write('a', '2')
      utimesSync(join(root, 'a'), OLD_SEC, OLD_SEC)
      const second = open([], openCache, later)
      assert.deepEqual(await digests(second, ['a']), [digestOf('2')])
      await second.save()
    })

    it('hashes a file once when it is looked at twice', async () => {
      write('a', '1')
      write('b', '2')
      const tree = open([], openCache, later)
      const both = await Promise.all([digests(tree, ['a', 'b']), digests(tree, ['b'])])
      assert.deepEqual(both, [[digestOf('1'), digestOf('2')], [digestOf('2')]])
      assert.deepEqual(hashed.sort(), ['a', 'b'])
      await tree.save()
    })

    it('is of use after it was kept: a build may be solved a second time', async () => {
      write('a', '1')
      let openings = 0
      const counted = (): Promise<StatCache> => {
        openings += 1
        return openCache()
      }
      const tree = open([], counted, later)
      for (const count of [1, 2]) {
        assert.deepEqual(await digests(tree, ['a']), [digestOf('1')])
        await tree.save()
        assert.equal(openings, count)
      }
      assert.deepEqual(hashed, ['a'])
    })

    it('does not trust a file that had just been changed when it was looked at', async () => {
      write('a', '1')
      const first = open([], openCache)
      await digests(first, ['a'])
      await first.save()
      hashed.length = 0
      const second = open([], openCache)
      await digests(second, ['a'])
      await second.save()
      assert.deepEqual(hashed, ['a'])
    })
  })
})
