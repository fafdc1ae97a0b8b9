import assert from 'node:assert/strict'
import {
  chmod,
  chown,
  link,
  mkdir,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { EntryMaker } from '../layer/scanned.ts'
import { expandOpaque } from '../layer/expand-opaque.ts'
import { noteImpliedDirectories } from '../layer/implied.ts'
import { LayerTree } from './layer-tree.ts'
import { allOf, mergedLayers, pagesOf } from './pages.ts'
import {
  Bench,
  type Change,
  type SnapshotterParts,
  asEntries,
  never,
  readable,
  summary,
} from './snapshot-bench.ts'

/** What every snapshotter promises. Needs root: it mounts what the driver says. */
export function snapshotterSuite(name: string, parts: SnapshotterParts): void {
  const isRoot = parts.privileges === 'root'
  const base: Change = async (dir) => {
    await mkdir(join(dir, 'etc/ssl'), { recursive: true })
    await writeFile(join(dir, 'etc/passwd'), 'root')
    await writeFile(join(dir, 'etc/ssl/cert'), 'cert')
    await symlink('etc', join(dir, 'link'))
  }

  describe(`snapshotter contract: ${name}`, () => {
    it('starts from nothing and commits what was written', async () => {
      await using bench = await Bench.open(parts)
      const { directory, changes } = await bench.step([], base)
      assert.deepEqual(summary(changes), [
        'dir etc',
        'file etc/passwd',
        'dir etc/ssl',
        'file etc/ssl/cert',
        'symlink link',
      ])
      assert.equal(await readFile(join(directory.path, 'fs/etc/passwd'), 'utf8'), 'root')
      assert.deepEqual(await readdir(bench.workDir), [])
    })

    it('shows the parents merged, leaves them alone and commits only the difference', async () => {
      await using bench = await Bench.open(parts)
      const lower = await bench.step([], base)
      const upper = await bench.step([lower.directory], async (dir) => {
        assert.equal(await readFile(join(dir, 'link/passwd'), 'utf8'), 'root')
        await writeFile(join(dir, 'etc/passwd'), 'changed')
        await writeFile(join(dir, 'new'), '')
      })
      assert.deepEqual(summary(upper.changes), ['dir etc', 'file etc/passwd', 'file new'])
      assert.equal(await readFile(join(lower.directory.path, 'fs/etc/passwd'), 'utf8'), 'root')
      await bench.step([lower.directory, upper.directory], async (dir) => {
        assert.equal(await readFile(join(dir, 'etc/passwd'), 'utf8'), 'changed')
        assert.equal(await readFile(join(dir, 'etc/ssl/cert'), 'utf8'), 'cert')
      })
    })

    it('commits nothing for a step that only reads', async () => {
      await using bench = await Bench.open(parts)
      const lower = await bench.step([], base)
      const upper = await bench.step([lower.directory], async (dir) => {
        await readFile(join(dir, 'etc/passwd'))
        await readdir(join(dir, 'etc'))
      })
      assert.deepEqual(upper.changes, [])
    })

    it('takes a layer several times, of which the topmost counts', async () => {
      await using bench = await Bench.open(parts)
      const one = await bench.step([], base)
      const two = await bench.step([one.directory], async (dir) => {
        await writeFile(join(dir, 'etc/passwd'), 'two')
        await rm(join(dir, 'etc/ssl'), { recursive: true })
      })
      const three = await bench.step([one.directory, two.directory], async (dir) => {
        await writeFile(join(dir, 'etc/passwd'), 'three')
        await mkdir(join(dir, 'etc/ssl'))
        await writeFile(join(dir, 'etc/ssl/key'), '')
      })
      const nothing = await bench.step([], async () => {})
      const layers = [one, nothing, two, nothing, three, two, nothing]
      const top = await bench.step(
        layers.map(({ directory }) => directory),
        async (dir) => {
          assert.equal(await readFile(join(dir, 'etc/passwd'), 'utf8'), 'two')
          assert.deepEqual(await readdir(join(dir, 'etc')), ['passwd'])
          await writeFile(join(dir, 'new'), '')
        },
      )
      assert.deepEqual(summary(top.changes), ['file new'])
    })

    it('removes files and directories for the steps above', async () => {
      await using bench = await Bench.open(parts)
      const lower = await bench.step([], base)
      const upper = await bench.step([lower.directory], async (dir) => {
        await rm(join(dir, 'etc/ssl'), { recursive: true })
        await rm(join(dir, 'link'))
      })
      assert.deepEqual(summary(upper.changes), ['dir etc', 'whiteout etc/ssl', 'whiteout link'])
      await bench.step([lower.directory, upper.directory], async (dir) => {
        assert.deepEqual(await readdir(dir), ['etc'])
        assert.deepEqual(await readdir(join(dir, 'etc')), ['passwd'])
        await mkdir(join(dir, 'etc/ssl'))
      })
    })

    // overlayfs marks a directory that was made anew over a removed one as opaque; layers name what is gone.
    it('hides what was in a directory that is made anew', async () => {
      await using bench = await Bench.open(parts)
      const lower = await bench.step([], base)
      const upper = await bench.step([lower.directory], async (dir) => {
        await rm(join(dir, 'etc'), { recursive: true })
        await mkdir(join(dir, 'etc/ssl'), { recursive: true })
        await writeFile(join(dir, 'etc/ssl/new'), '')
      })
      const below = mergedLayers([asEntries(lower.changes)])
      assert.deepEqual(summary(await allOf(expandOpaque(pagesOf(upper.changes), below))), [
        'dir etc',
        'whiteout etc/passwd',
        'dir etc/ssl',
        'whiteout etc/ssl/cert',
        'file etc/ssl/new',
      ])
      await bench.step([lower.directory, upper.directory], async (dir) => {
        assert.deepEqual(await readdir(join(dir, 'etc')), ['ssl'])
        assert.deepEqual(await readdir(join(dir, 'etc/ssl')), ['new'])
      })
    })

    it('replaces files by directories and directories by links', async () => {
      await using bench = await Bench.open(parts)
      const lower = await bench.step([], base)
      const upper = await bench.step([lower.directory], async (dir) => {
        await rm(join(dir, 'etc/passwd'))
        await mkdir(join(dir, 'etc/passwd'))
        await rm(join(dir, 'etc/ssl'), { recursive: true })
        await symlink('passwd', join(dir, 'etc/ssl'))
      })
      const plain = upper.changes.filter(({ type }) => type !== 'opaque')
      assert.deepEqual(summary(plain), ['dir etc', 'dir etc/passwd', 'symlink etc/ssl'])
      await bench.step([lower.directory, upper.directory], async (dir) => {
        assert.deepEqual(await readdir(join(dir, 'etc/passwd')), [])
        assert.deepEqual(await readdir(join(dir, 'etc/ssl')), [])
      })
    })

    it('keeps modes, owners, times, hardlinks and file capabilities', async () => {
      await using bench = await Bench.open(parts)
      const { kernel } = parts
      const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex')
      const attribute = parts.privileges === 'user' ? 'user.note' : 'security.capability'
      const [uid, gid] = isRoot ? [1000, 1001] : [0, 0]
      const lower = await bench.step([], async (dir) => {
        await writeFile(join(dir, 'ping'), 'ping')
        if (isRoot) await chown(join(dir, 'ping'), uid, gid)
        await chmod(join(dir, 'ping'), 0o4755)
        kernel.setXattr(join(dir, 'ping'), attribute, capability)
        await utimes(join(dir, 'ping'), 1_000_000_000, 1_000_000_000)
        await link(join(dir, 'ping'), join(dir, 'zing'))
      })
      const metadata = { mode: 0o4755, uid, gid, mtimeSec: 1_000_000_000 }
      const xattrs = [{ name: attribute, value: capability.toString('hex') }]
      assert.deepEqual(lower.changes.map(readable), [
        { type: 'file', path: 'ping', ...metadata, sizeBytes: 4, xattrs },
        { type: 'hardlink', path: 'zing', ...metadata, target: 'ping', xattrs },
      ])
      await bench.step([lower.directory], async (dir) => {
        const value = kernel.getXattr(join(dir, 'zing'), attribute)
        assert.deepEqual(Buffer.from(value ?? []), capability)
        const stats = await stat(join(dir, 'zing'))
        assert.deepEqual([stats.mode & 0o7777, stats.mtimeMs], [0o4755, 1e12])
        if (isRoot) assert.deepEqual([stats.uid, stats.gid], [uid, gid])
      })
    })

    it('keeps hardlinks of every layer, and attributes only where the topmost has them', async () => {
      await using bench = await Bench.open(parts)
      const { kernel } = parts
      const lower = await bench.step([], async (dir) => {
        await mkdir(join(dir, 'data'))
        await writeFile(join(dir, 'data/kept'), '')
        kernel.setXattr(join(dir, 'data'), 'user.note', Buffer.from('lower'))
      })
      const upper = await bench.step([lower.directory], async (dir) => {
        await rename(join(dir, 'data/kept'), join(dir, 'aside'))
        await rm(join(dir, 'data'), { recursive: true })
        await mkdir(join(dir, 'data'))
        await rename(join(dir, 'aside'), join(dir, 'data/kept'))
        await writeFile(join(dir, 'one'), '')
        await link(join(dir, 'one'), join(dir, 'data/two'))
      })
      await bench.step([lower.directory, upper.directory], async (dir) => {
        assert.equal(kernel.getXattr(join(dir, 'data'), 'user.note'), undefined)
        assert.deepEqual((await readdir(join(dir, 'data'))).sort(), ['kept', 'two'])
        const [one, two] = [await stat(join(dir, 'one')), await stat(join(dir, 'data/two'))]
        assert.deepEqual([one.ino, one.nlink], [two.ino, 2])
      })
    })

    it('keeps fifos, and devices where they can be made', async () => {
      await using bench = await Bench.open(parts)
      const { kernel } = parts
      const lower = await bench.step([], async (dir) => {
        kernel.makeNode(join(dir, 'pipe'), 'fifo', { mode: 0o600, major: 0, minor: 0 })
        if (isRoot) kernel.makeNode(join(dir, 'zero'), 'char', { mode: 0o666, major: 1, minor: 5 })
      })
      assert.deepEqual(summary(lower.changes), isRoot ? ['fifo pipe', 'char zero'] : ['fifo pipe'])
      await bench.step([lower.directory], async (dir) => {
        assert.ok((await stat(join(dir, 'pipe'))).isFIFO())
        if (isRoot) assert.equal((await stat(join(dir, 'zero'))).rdev, (1 << 8) + 5)
      })
    })

    it('notices a touch, a chmod and a write that leaves size and mtime as they were', async () => {
      await using bench = await Bench.open(parts)
      const lower = await bench.step([], base)
      const { mtime } = await stat(join(lower.directory.path, 'fs/etc/passwd'))
      const upper = await bench.step([lower.directory], async (dir) => {
        await writeFile(join(dir, 'etc/passwd'), 'boot')
        await utimes(join(dir, 'etc/passwd'), mtime, mtime)
        await utimes(join(dir, 'etc/ssl/cert'), 1, 1)
        await chmod(join(dir, 'etc/ssl'), 0o700)
      })
      assert.deepEqual(summary(upper.changes), [
        'dir etc',
        'file etc/passwd',
        'dir etc/ssl',
        'file etc/ssl/cert',
      ])
    })

    it('starts with the root directory of the layers below', async () => {
      await using bench = await Bench.open(parts)
      const lower = await bench.step([], (dir) => chmod(dir, 0o711))
      if (isRoot) await chown(join(lower.directory.path, 'fs'), 7, 8)
      await bench.step([lower.directory], async (dir) => {
        const { mode, uid, gid } = await stat(dir)
        assert.equal(mode & 0o7777, 0o711)
        if (isRoot) assert.deepEqual([uid, gid], [7, 8])
      })
    })

    // Some tools write layers without entries for the directories that they only add to.
    it('keeps what lower layers say of a directory that an unpacked layer only implies', async () => {
      await using bench = await Bench.open(parts)
      const lower = await bench.step([], async (dir) => {
        await mkdir(join(dir, 'var/tmp'), { recursive: true })
        await chmod(join(dir, 'var/tmp'), 0o1777)
        await chmod(join(dir, 'var'), 0o711)
      })
      const unpacked = bench.newDirectory()
      await mkdir(join(unpacked.path, 'fs/var/tmp/new'), { recursive: true })
      await writeFile(join(unpacked.path, 'fs/var/tmp/new/file'), '')
      await noteImpliedDirectories(unpacked, ['var', 'var/tmp', 'var/tmp/new'])
      const upper = await bench.step([lower.directory, unpacked], async (dir) => {
        for (const [path, mode] of [
          ['var', 0o711],
          ['var/tmp', 0o1777],
          ['var/tmp/new', 0o755],
        ] as const) {
          assert.equal((await stat(join(dir, path))).mode & 0o7777, mode, path)
        }
        await readFile(join(dir, 'var/tmp/new/file'))
      })
      assert.deepEqual(upper.changes, [])
    })

    it('has the mode 755 for the root of nothing', async () => {
      await using bench = await Bench.open(parts)
      await bench.step([], async (dir) => assert.equal((await stat(dir)).mode & 0o7777, 0o755))
    })

    it('leaves out sockets', async () => {
      await using bench = await Bench.open(parts)
      const { changes } = await bench.step([], async (dir) => {
        const server = createServer()
        await new Promise<void>((resolve) => server.listen(join(dir, 'agent'), resolve))
        // Closing removes the socket's name, so it gets another one.
        await rename(join(dir, 'agent'), join(dir, 'socket'))
        await new Promise((resolve) => server.close(resolve))
        await writeFile(join(dir, 'file'), '')
      })
      assert.deepEqual(summary(changes), ['file file'])
    })

    it('refuses names that a layer cannot hold and leaves nothing behind', async () => {
      await using bench = await Bench.open(parts)
      const work = bench.step([], (dir) => writeFile(join(dir, '.wh.file'), ''))
      await assert.rejects(work, { code: 'diff-name-reserved', path: '.wh.file' })
      assert.deepEqual([await readdir(bench.workDir), await readdir(bench.layersDir)], [[], []])
    })

    it('removes a snapshot that is not committed, and keeps one that is', async () => {
      await using bench = await Bench.open(parts)
      const dropped = await bench.snapshotter.prepare([], never)
      assert.equal((await readdir(bench.workDir)).length, 1)
      await dropped[Symbol.asyncDispose]()
      assert.deepEqual(await readdir(bench.workDir), [])
      const snapshot = await bench.snapshotter.prepare([], never)
      const { directory } = await snapshot.commit(never)
      await snapshot[Symbol.asyncDispose]()
      assert.deepEqual(await readdir(directory.path), ['fs'])
      await assert.rejects(snapshot.commit(never), TypeError)
    })

    it('does not overwrite a layer directory', async () => {
      await using bench = await Bench.open(parts)
      const lower = await bench.step([], base)
      await using snapshot = await bench.snapshotter.prepare([], never)
      await assert.rejects(snapshot.commit(never, lower.directory), { code: 'EEXIST' })
      assert.equal(await readFile(join(lower.directory.path, 'fs/etc/passwd'), 'utf8'), 'root')
    })

    it('keeps names that are no UTF-8 and as long as they can be', async () => {
      await using bench = await Bench.open(parts)
      const raw = Buffer.from([0xff, 0xfe, 0x80])
      const long = 'x'.repeat(255)
      const lower = await bench.step([], async (dir) => {
        await writeFile(Buffer.concat([Buffer.from(`${dir}/`), raw]), 'raw')
        await writeFile(join(dir, long), 'long')
      })
      assert.deepEqual(summary(lower.changes), [`file ${long}`, 'file \udcff\udcfe\udc80'])
      const upper = await bench.step([lower.directory], async (dir) => {
        await chmod(Buffer.concat([Buffer.from(`${dir}/`), raw]), 0o600)
        await rm(join(dir, long))
      })
      assert.deepEqual(summary(upper.changes), [`whiteout ${long}`, 'file \udcff\udcfe\udc80'])
    })

    it('says which layer is missing and how many are too many', async () => {
      await using bench = await Bench.open(parts)
      const gone = { path: join(bench.layersDir, 'gone') }
      await assert.rejects(bench.snapshotter.prepare([gone], never), {
        code: 'snapshot-layer-missing',
        message: /layers\/gone/,
      })
      const many = Array.from({ length: 500 }, () => gone)
      await assert.rejects(bench.snapshotter.prepare(many, never), {
        code: 'snapshot-too-many-layers',
      })
      assert.deepEqual(await readdir(bench.workDir), [])
    })

    it('merges the same as the tables of contents say', async () => {
      await using bench = await Bench.open(parts)
      const one = await bench.step([], base)
      const two = await bench.step([one.directory], async (dir) => {
        await rm(join(dir, 'etc/ssl'), { recursive: true })
        await writeFile(join(dir, 'etc/ssl'), 'file now')
      })
      const three = await bench.step([one.directory, two.directory], async (dir) => {
        await rm(join(dir, 'etc/ssl'))
        await mkdir(join(dir, 'etc/ssl'))
        await writeFile(join(dir, 'etc/ssl/key'), '')
      })
      const tree = LayerTree.of([one, two, three].map(({ changes }) => asEntries(changes)))
      const layers = [one.directory, two.directory, three.directory]
      await bench.step(layers, async (dir) => {
        const scanned = await parts.kernel.scanTree({ root: dir, withXattrs: true, signal: never })
        const maker = new EntryMaker()
        const found = scanned.map((entry) => maker.make(entry)?.path)
        assert.deepEqual(found, [...tree.walk('')].map(({ path }) => path).slice(1))
      })
    })
  })
}
