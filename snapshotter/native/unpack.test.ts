import assert from 'node:assert/strict'
import {
  chmod,
  lstat,
  mkdir,
  readFile,
  readdir,
  readlink,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { encodePath } from '../layer/path-bytes.ts'
import { requires } from '../testing/requires.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { kernel } from './kernel.ts'
import { never, rejectsWith, unpackBytes } from './testing/layer-files.ts'
import { paxHeader, rawTar } from './testing/raw-tar.ts'

/** Relative paths of all below `root`, directories with a slash. */
async function tree(root: string): Promise<string[]> {
  const entries = await kernel.scanTree({ root, withXattrs: false, signal: never })
  return entries.map((entry) => (entry.type === 'dir' ? `${entry.path}/` : entry.path))
}

describe('unpacking an archive', () => {
  it('makes files, links, pipes and directories with modes and whole-second times', async () => {
    await using directory = await temporaryDirectory()
    const archive = rawTar(
      { name: 'dir', type: '5', mode: '0000555', mtime: '07346545000' },
      { name: 'dir/file', body: 'content', mode: '0004751' },
      { name: 'hard', type: '1', link: 'dir/file' },
      { name: 'link', type: '2', link: '/nowhere' },
      { name: 'pipe', type: '6', mode: '0000600' },
      { name: 'deep/er/file' },
    )
    const { root } = await unpackBytes(directory.path, archive)
    assert.equal(await readFile(join(root, 'dir/file'), 'utf8'), 'content')
    const [file, hard, dir] = await Promise.all(
      ['dir/file', 'hard', 'dir'].map((path) => stat(join(root, path))),
    )
    assert.equal(file?.mode, 0o104751)
    assert.equal(file?.mtimeMs, 1_600_000_000_000)
    assert.equal(hard?.ino, file?.ino)
    assert.equal(dir?.mode, 0o40555)
    assert.equal(dir?.mtimeMs, 1_000_000_000_000)
    assert.equal(await readlink(join(root, 'link')), '/nowhere')
    assert.ok((await lstat(join(root, 'pipe'))).isFIFO())
    assert.equal((await stat(join(root, 'deep/er'))).mode, 0o40755)
    // An ordinary user's `rm` cannot empty a directory of mode 555.
    await kernel.removeTree(root, never)
  })

  it('keeps names that are no UTF-8 and paths beyond PATH_MAX', async () => {
    await using directory = await temporaryDirectory()
    const deep = `${'d'.repeat(200)}/`.repeat(30)
    const raw = Buffer.from([0x72, 0xff, 0x80])
    const archive = rawTar({ name: raw, body: 'raw' }, paxHeader({ path: `${deep}file` }), {
      name: 'x',
      body: 'deep',
    })
    const { root } = await unpackBytes(directory.path, archive)
    assert.ok((await tree(root)).includes(`${deep}file`))
    assert.equal(await readFile(Buffer.concat([encodePath(`${root}/`), raw]), 'utf8'), 'raw')
    await kernel.removeTree(directory.path, never)
  })

  it('replaces what is in the way, but merges directories', async () => {
    await using directory = await temporaryDirectory()
    const root = join(directory.path, 'root')
    await mkdir(join(root, 'dir/sub'), { recursive: true })
    await mkdir(join(root, 'becomes-file/sub'), { recursive: true })
    await writeFile(join(root, 'dir/old'), 'old')
    await writeFile(join(root, 'becomes-dir'), 'old')
    await symlink('dir', join(root, 'becomes-real'))
    await unpackBytes(
      directory.path,
      rawTar(
        { name: 'dir', type: '5', mode: '0000700' },
        { name: 'dir/new' },
        { name: 'becomes-file' },
        { name: 'becomes-dir', type: '5' },
        { name: 'becomes-real', type: '5' },
        { name: 'twice', body: '1' },
        { name: 'twice', body: '2' },
      ),
    )
    assert.deepEqual(await tree(root), [
      'becomes-dir/',
      'becomes-file',
      'becomes-real/',
      'dir/',
      'dir/new',
      'dir/old',
      'dir/sub/',
      'twice',
    ])
    assert.equal(await readFile(join(root, 'twice'), 'utf8'), '2')
  })

  it('does not give the mode of its root to the directory, as ADD wants it', async () => {
    await using directory = await temporaryDirectory()
    const archive = rawTar({ name: './', type: '5', mode: '0000700' })
    const { root } = await unpackBytes(directory.path, archive)
    assert.equal((await stat(root)).mode & 0o777, 0o755 & ~process.umask())
    await unpackBytes(directory.path, archive, { whiteouts: 'apply' })
    assert.equal((await stat(root)).mode & 0o777, 0o700)
  })

  it('leaves holes where a file has zeros', async () => {
    await using directory = await temporaryDirectory()
    const { root } = await unpackBytes(
      directory.path,
      rawTar({ name: 'f', body: Buffer.alloc(1_000_000) }),
    )
    const { size, blocks } = await stat(join(root, 'f'))
    assert.equal(size, 1_000_000)
    assert.ok(blocks * 512 < size)
  })
})

describe('unpacking a hostile archive', () => {
  it('resolves symlinks in parents inside the root, never outside', async () => {
    await using directory = await temporaryDirectory()
    await mkdir(join(directory.path, 'outside'))
    const archive = rawTar(
      { name: 'real', type: '5' },
      { name: 'abs', type: '2', link: '/real' },
      { name: 'up', type: '2', link: '../../../real' },
      { name: 'abs/a' },
      { name: 'up/b' },
    )
    const { root } = await unpackBytes(directory.path, archive)
    assert.deepEqual(await tree(root), ['abs', 'real/', 'real/a', 'real/b', 'up'])
    assert.deepEqual(await readdir(join(directory.path, 'outside')), [])
  })

  it('replaces a symlink instead of writing through it', async () => {
    await using directory = await temporaryDirectory()
    const canary = join(directory.path, 'canary')
    await writeFile(canary, 'safe')
    await chmod(canary, 0o600)
    const archive = rawTar(
      { name: 'f', type: '2', link: canary },
      { name: 'f', body: 'owned', mode: '0000777' },
      { name: 'd', type: '2', link: directory.path },
      { name: 'd', type: '5', mode: '0000777' },
      { name: 'd/canary', body: 'owned' },
    )
    const { root } = await unpackBytes(directory.path, archive)
    assert.equal(await readFile(canary, 'utf8'), 'safe')
    assert.equal((await stat(canary)).mode & 0o777, 0o600)
    assert.equal(await readFile(join(root, 'd/canary'), 'utf8'), 'owned')
  })

  it('refuses hard links to what is not in the root', async () => {
    await using directory = await temporaryDirectory()
    await writeFile(join(directory.path, 'canary'), 'safe')
    const through = rawTar(
      { name: 'out', type: '2', link: directory.path },
      { name: 'hard', type: '1', link: 'out/canary' },
    )
    await rejectsWith(unpackBytes(directory.path, through), 'bad-archive', 'hard')
    const absolute = rawTar({ name: 'hard', type: '1', link: join(directory.path, 'canary') })
    await rejectsWith(unpackBytes(directory.path, absolute), 'bad-archive', 'hard')
    const toItself = rawTar({ name: 'hard' }, { name: 'hard', type: '1', link: './hard' })
    await rejectsWith(unpackBytes(directory.path, toItself), 'bad-archive', 'hard')
    const toDirectory = rawTar({ name: 'd', type: '5' }, { name: 'hard', type: '1', link: 'd' })
    await rejectsWith(unpackBytes(directory.path, toDirectory), 'bad-archive', 'hard')
  })

  it('links a symlink itself, not what it points to', async () => {
    await using directory = await temporaryDirectory()
    const canary = join(directory.path, 'canary')
    await writeFile(canary, 'safe')
    const archive = rawTar(
      { name: 's', type: '2', link: canary },
      { name: 'h', type: '1', link: 's' },
    )
    const { root } = await unpackBytes(directory.path, archive)
    assert.equal(await readlink(join(root, 'h')), canary)
    assert.equal((await stat(canary)).nlink, 1)
  })

  it('refuses parents that are files, loops or dangling', async () => {
    await using directory = await temporaryDirectory()
    const below = (archive: Buffer) =>
      rejectsWith(unpackBytes(directory.path, archive), 'bad-archive')
    await below(rawTar({ name: 'f' }, { name: 'f/x' }))
    await below(
      rawTar(
        { name: 'a', type: '2', link: 'b' },
        { name: 'b', type: '2', link: 'a' },
        { name: 'a/x' },
      ),
    )
    await below(rawTar({ name: 'n', type: '2', link: 'nothing' }, { name: 'n/x' }))
  })

  it('removes only inside the root when a white-out goes through a symlink', async () => {
    await using directory = await temporaryDirectory()
    await writeFile(join(directory.path, 'canary'), 'safe')
    const archive = rawTar({ name: 'out', type: '2', link: '..' }, { name: 'out/.wh.canary' })
    await unpackBytes(directory.path, archive, { whiteouts: 'apply' })
    assert.equal(await readFile(join(directory.path, 'canary'), 'utf8'), 'safe')
  })

  it('takes linear time for many opaque marks', async function () {
    // containerd GHSA-rp3h-jf77-q9p4: each mark walked all that the layer had brought.
    this.timeout(20_000)
    await using directory = await temporaryDirectory()
    const files = Array.from({ length: 3000 }, (_, i) => ({ name: `d/f${i}` }))
    const marks = Array.from({ length: 3000 }, () => ({ name: 'd/.wh..wh..opq' }))
    const { root } = await unpackBytes(directory.path, rawTar(...files, ...marks), {
      whiteouts: 'apply',
    })
    assert.equal((await readdir(join(root, 'd'))).length, 3000)
  })
})

describe('applying white-outs to a directory', () => {
  async function lower(directory: string): Promise<string> {
    const root = join(directory, 'root')
    await mkdir(join(root, 'dir/sub'), { recursive: true })
    await writeFile(join(root, 'dir/old'), '')
    await writeFile(join(root, 'dir/sub/old'), '')
    await writeFile(join(root, 'file'), '')
    return root
  }

  it('removes files and trees of earlier layers, and minds none that is missing', async () => {
    await using directory = await temporaryDirectory()
    const root = await lower(directory.path)
    const archive = rawTar({ name: '.wh.file' }, { name: 'dir/.wh.sub' }, { name: '.wh.missing' })
    await unpackBytes(directory.path, archive, { whiteouts: 'apply' })
    assert.deepEqual(await tree(root), ['dir/', 'dir/old'])
  })

  for (const order of ['before', 'after'] as const) {
    it(`keeps what the layer itself brings, with the mark ${order} it`, async () => {
      await using directory = await temporaryDirectory()
      const root = await lower(directory.path)
      const marks = [{ name: 'dir/.wh..wh..opq' }, { name: '.wh.file' }]
      const entries = [{ name: 'dir/sub/new' }, { name: 'file', body: 'new' }]
      const archive =
        order === 'before' ? rawTar(...marks, ...entries) : rawTar(...entries, ...marks)
      await unpackBytes(directory.path, archive, { whiteouts: 'apply' })
      assert.deepEqual(await tree(root), ['dir/', 'dir/sub/', 'dir/sub/new', 'file'])
      assert.equal(await readFile(join(root, 'file'), 'utf8'), 'new')
    })
  }

  it('clears the whole root when that is opaque', async () => {
    await using directory = await temporaryDirectory()
    const root = await lower(directory.path)
    await unpackBytes(directory.path, rawTar({ name: '.wh..wh..opq' }, { name: 'new' }), {
      whiteouts: 'apply',
    })
    assert.deepEqual(await tree(root), ['new'])
  })
})

describe('unpacking as root', () => {
  requires('root')

  it('makes devices, owners and attributes, and keeps setuid over the chown', async () => {
    await using directory = await temporaryDirectory()
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex')
    const archive = rawTar(
      { name: 'null', type: '3', major: '0000001', minor: '0000003', mode: '0000666' },
      paxHeader({
        'SCHILY.xattr.security.capability': capability,
        'SCHILY.xattr.user.a': 'b',
        uid: '1000',
      }),
      { name: 'f', mode: '0006755' },
      paxHeader({ 'SCHILY.xattr.trusted.overlay.redirect': '/etc', 'SCHILY.xattr.trusted.x': 'y' }),
      { name: 'd', type: '5' },
    )
    const { root, result } = await unpackBytes(directory.path, archive)
    const device = await lstat(join(root, 'null'))
    assert.ok(device.isCharacterDevice() && device.rdev === 0x103)
    assert.equal(device.mode & 0o7777, 0o666)
    const file = await stat(join(root, 'f'))
    assert.deepEqual([file.uid, file.mode & 0o7777], [1000, 0o6755])
    assert.deepEqual(kernel.getXattr(join(root, 'f'), 'security.capability'), capability)
    assert.deepEqual(kernel.getXattr(join(root, 'f'), 'user.a'), Buffer.from('b'))
    assert.equal(kernel.getXattr(join(root, 'd'), 'trusted.overlay.redirect'), undefined)
    assert.deepEqual(kernel.getXattr(join(root, 'd'), 'trusted.x'), Buffer.from('y'))
    assert.deepEqual(result.skipped, [])
  })

  it('writes white-outs as overlayfs has them, whatever the order', async () => {
    await using directory = await temporaryDirectory()
    const archive = rawTar(
      { name: '.wh.gone' },
      { name: '.wh.remade' },
      { name: 'remade', type: '5' },
      { name: '.wh.rewritten' },
      { name: 'rewritten', body: 'new' },
      { name: 'kept', body: 'kept' },
      { name: '.wh.kept' },
      { name: 'opaque/.wh..wh..opq' },
      { name: 'opaque', type: '5' },
    )
    const { root } = await unpackBytes(directory.path, archive, { whiteouts: 'overlay' })
    const gone = await lstat(join(root, 'gone'))
    assert.ok(gone.isCharacterDevice() && gone.rdev === 0)
    for (const path of ['remade', 'opaque']) {
      assert.deepEqual(
        kernel.getXattr(join(root, path), 'trusted.overlay.opaque'),
        Buffer.from('y'),
        path,
      )
    }
    assert.equal(await readFile(join(root, 'rewritten'), 'utf8'), 'new')
    assert.equal(await readFile(join(root, 'kept'), 'utf8'), 'kept')
    await unpackBytes(directory.path, rawTar({ name: 'u/.wh..wh..opq' }), {
      whiteouts: 'overlay',
      userXattr: true,
    })
    assert.deepEqual(kernel.getXattr(join(root, 'u'), 'user.overlay.opaque'), Buffer.from('y'))
  })

  it('tells what an ordinary user cannot have', async () => {
    await using directory = await temporaryDirectory()
    const archive = rawTar(
      { name: 'null', type: '3', major: '0000001' },
      paxHeader({ uid: '1000' }),
      { name: 'f' },
    )
    const { root, result } = await unpackBytes(directory.path, archive, { ownership: 'none' })
    assert.deepEqual(result.skipped, [{ path: 'null', what: 'device' }])
    assert.equal((await stat(join(root, 'f'))).uid, 0)
  })

  it('lets whoever unpacks into everything when that is asked for', async () => {
    await using directory = await temporaryDirectory()
    const archive = rawTar(
      { name: 'd/', type: '5', mode: '0000000' },
      { name: 'd/f', mode: '0000020' },
      { name: 'x', mode: '0004755' },
      paxHeader({ 'SCHILY.xattr.user.note': 'kept' }),
      { name: 'noted', mode: '0000000' },
    )
    const { root } = await unpackBytes(directory.path, archive, { opensAll: true })
    const modes = async (name: string): Promise<number> => (await stat(join(root, name))).mode
    assert.equal((await modes('d')) & 0o7777, 0o700)
    assert.equal((await modes('d/f')) & 0o7777, 0o420)
    assert.equal((await modes('x')) & 0o7777, 0o4755)
    assert.equal((await modes('noted')) & 0o7777, 0o400)
    assert.deepEqual(kernel.getXattr(join(root, 'noted'), 'user.note'), Buffer.from('kept'))
  })
})
