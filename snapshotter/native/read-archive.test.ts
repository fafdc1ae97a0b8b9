import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { appendFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { digestOf } from '../../registry-client/oci/index.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { read, readBytes, rejectsWith, summary } from './testing/layer-files.ts'
import { TAR_END, paxHeader, rawMember, rawTar } from './testing/raw-tar.ts'

const file = { name: 'file', body: 'content' } as const

describe('reading an archive', () => {
  it('understands v7, GNU and star headers', async () => {
    const gnu = 'ustar  \0'
    const archive = rawTar(
      { name: 'v7', magic: '', body: 'x' },
      { name: 'v7-dir/', type: '\0', magic: '' },
      { name: 'name', prefix: 'prefix', body: 'x' },
      { name: '././@LongLink', type: 'L', magic: gnu, body: `${'l'.repeat(150)}\0` },
      { name: 'short', magic: gnu, body: 'x' },
      { name: '././@LongLink', type: 'K', magic: gnu, body: `${'t'.repeat(150)}\0` },
      { name: 'link', type: '2', magic: gnu, link: 'short' },
      // In GNU headers the place of the prefix holds times.
      { name: 'gnu', magic: gnu, prefix: '12345670123', body: 'x' },
      { name: 'volume', type: 'V', magic: gnu },
      { name: 'star', prefix: 'p', patch: { at: 508, bytes: Buffer.from('tar\0') } },
    )
    assert.deepEqual(summary((await readBytes(archive)).entries), [
      'file v7',
      'dir v7-dir',
      'file prefix/name',
      `file ${'l'.repeat(150)}`,
      `symlink link -> ${'t'.repeat(150)}`,
      'file gnu',
      'file p/star',
    ])
  })

  it('prefers PAX records to the header, the size too (CVE-2025-62518)', async () => {
    const smuggled = rawMember({ name: 'smuggled' })
    const archive = rawTar(
      paxHeader({
        size: '512',
        path: 'påth',
        uid: '4000000',
        mtime: '-1.5',
        'SCHILY.xattr.user.a': 'v\0\n',
      }),
      { name: 'outer', size: '00000000000', body: smuggled },
    )
    const { entries } = await readBytes(archive)
    assert.equal(entries.length, 1)
    const [entry] = entries
    assert.ok(entry?.type === 'file')
    assert.equal(entry.path, 'påth')
    assert.equal(entry.sizeBytes, 512)
    assert.equal(entry.uid, 4_000_000)
    assert.equal(entry.mtimeSec, -2)
    assert.deepEqual(entry.xattrs, [{ name: 'user.a', value: Buffer.from('v\0\n') }])
  })

  it('reads base-256 numbers', async () => {
    const size = Buffer.concat([Buffer.from([0x80]), Buffer.alloc(10), Buffer.from([7])])
    const uid = Buffer.from([0x80, 0, 0, 0, 0, 0x3d, 0x09, 0])
    const mtime = Buffer.concat([Buffer.alloc(11, 0xff), Buffer.from([0xfe])])
    const [entry] = (await readBytes(rawTar({ name: 'f', size, uid, mtime, body: 'content' })))
      .entries
    assert.ok(entry?.type === 'file')
    assert.deepEqual([entry.sizeBytes, entry.uid, entry.mtimeSec], [7, 4_000_000, -2])
  })

  it('makes names relative and drops their empty and "." components', async () => {
    const archive = rawTar(
      { name: './', type: '5' },
      { name: '/abs//./dir/', type: '5' },
      { name: './f' },
      { name: 'hard', type: '1', link: '/abs/../f'.replace('/abs/..', '') },
    )
    assert.deepEqual(summary((await readBytes(archive)).entries), [
      'dir ',
      'dir abs/dir',
      'file f',
      'hardlink hard -> f',
    ])
  })

  it('tells white-outs from files, unless they mean nothing', async () => {
    const archive = rawTar(
      { name: 'dir/.wh.gone' },
      { name: 'dir/.wh..wh..opq' },
      { name: '.wh..wh.plnk/12.34' },
      { name: '.wh..wh.aufs' },
    )
    assert.deepEqual(summary((await readBytes(archive)).entries), [
      'whiteout dir/gone',
      'opaque dir',
    ])
    const asFiles = await readBytes(archive, { whiteouts: 'plain' })
    assert.equal(asFiles.entries.length, 4)
  })

  it('takes an archive that ends without zero blocks, and one of nothing', async () => {
    assert.equal((await readBytes(rawMember(file))).entries.length, 1)
    assert.equal((await readBytes(TAR_END)).entries.length, 0)
    assert.equal((await readBytes(Buffer.alloc(0))).entries.length, 0)
  })

  it('counts what follows the end into the diffId and nothing else', async () => {
    const archive = rawTar(file)
    const longer = Buffer.concat([archive, rawMember({ name: 'after' })])
    const [short, long] = [await readBytes(archive), await readBytes(longer)]
    assert.deepEqual(long.entries, short.entries)
    assert.notEqual(long.diffId, short.diffId)
    assert.equal(long.uncompressedSizeBytes, longer.length)
  })

  it('reads the sparse files of GNU tar in each of its formats', async () => {
    await using directory = await temporaryDirectory()
    const content = Buffer.alloc(3_000_000)
    content.write('begin', 0)
    content.write('middle', 1_500_000)
    content.write('end', 2_999_990)
    const run = (command: string): void => {
      const result = spawnSync('sh', ['-c', command], { cwd: directory.path, encoding: 'utf8' })
      assert.equal(result.status, 0, result.stderr)
    }
    await writeFile(join(directory.path, 'content'), content)
    run('cp --sparse=always content sparse')
    run('tar cf plain --transform s/content/sparse/ content')
    const expected = (await read(join(directory.path, 'plain'))).entries.map((entry) =>
      entry.type === 'file' ? [entry.path, entry.sizeBytes, entry.digest] : [],
    )
    for (const format of ['gnu', '0.0', '0.1', '1.0']) {
      const how = format === 'gnu' ? '--format=gnu' : `--format=pax --sparse-version=${format}`
      run(`tar cSf ${format} ${how} sparse`)
      const { entries, uncompressedSizeBytes } = await read(join(directory.path, format))
      assert.ok(uncompressedSizeBytes < 100_000, 'tar found no holes')
      assert.deepEqual(
        entries.map((entry) =>
          entry.type === 'file' ? [entry.path, entry.sizeBytes, entry.digest] : [],
        ),
        expected,
        format,
      )
    }
  })

  it('knows what a sparse file of very many parts holds', async () => {
    const count = 10_000
    const map = Array.from({ length: count }, (_, index) => `${2 * index},1`).join(',')
    const archive = rawTar(
      paxHeader({ 'GNU.sparse.map': map, 'GNU.sparse.size': String(2 * count) }),
      { name: 'sparse', body: 'x'.repeat(count) },
    )
    const { entries, diffId } = await readBytes(archive)
    const [entry] = entries
    assert.ok(entry?.type === 'file')
    assert.equal(entry.digest, digestOf('x\0'.repeat(count)))
    assert.equal(diffId, digestOf(archive))
  })

  it('tells the compression by its first bytes: gzip of several members, zstd, xz, bzip2', async () => {
    await using directory = await temporaryDirectory()
    const archive = rawTar({ name: 'f', body: 'text '.repeat(200_000) })
    const { diffId } = await readBytes(archive)
    const halves = [archive.subarray(0, 5000), archive.subarray(5000)].map((half) => gzipSync(half))
    const members = Buffer.concat([...halves, Buffer.alloc(1000)])
    assert.equal((await readBytes(members)).diffId, diffId)
    const tar = join(directory.path, 'tar')
    await writeFile(tar, archive)
    for (const tool of ['xz', 'bzip2', 'zstd']) {
      const packed = spawnSync(tool, ['-c', tar], { maxBuffer: 1e8 })
      if (packed.error !== undefined) continue
      assert.equal((await readBytes(packed.stdout)).diffId, diffId, tool)
    }
  })

  it('refuses damaged and shortened compressed data', async () => {
    const packed = gzipSync(rawTar({ name: 'f', body: 'text '.repeat(1000) }))
    const broken = Buffer.from(packed)
    broken.writeUInt32LE(1, broken.length - 8)
    await rejectsWith(readBytes(broken), 'bad-archive')
    for (const end of [1, 9, 50, packed.length - 8, packed.length - 1]) {
      await rejectsWith(readBytes(packed.subarray(0, end), { compression: 'gzip' }), 'bad-archive')
    }
    const trailed = Buffer.concat([packed, Buffer.from('trailer')])
    await rejectsWith(readBytes(trailed), 'bad-archive')
    await rejectsWith(readBytes(Buffer.alloc(0), { compression: 'gzip' }), 'bad-archive')
    await rejectsWith(readBytes(rawTar(file), { compression: 'zstd' }), 'bad-archive')
  })
})

describe('a hostile archive', () => {
  const cases: Record<string, { readonly archive: Buffer; readonly path?: string }> = {
    'a name with ".."': { archive: rawTar({ name: 'a/../../b' }), path: 'a/../../b' },
    'a PAX name with ".."': { archive: rawTar(paxHeader({ path: '../b' }), file), path: '../b' },
    'a hard link with ".."': {
      archive: rawTar({ name: 'h', type: '1', link: '../etc/passwd' }),
      path: 'h',
    },
    'a hard link to nothing': { archive: rawTar({ name: 'h', type: '1' }), path: 'h' },
    'a symlink to nothing': { archive: rawTar({ name: 's', type: '2' }), path: 's' },
    'a file without a name': { archive: rawTar({ name: './', type: '0', body: 'x' }) },
    'a NUL in a PAX name': { archive: rawTar(paxHeader({ path: 'a\0b' }), file) },
    'a size that is no number': { archive: rawTar({ ...file, size: '12x' }), path: 'file' },
    'a negative size': { archive: rawTar({ ...file, size: Buffer.alloc(12, 0xff) }), path: 'file' },
    'a size beyond 63 bits': {
      archive: rawTar({
        ...file,
        size: Buffer.concat([Buffer.from([0x80]), Buffer.alloc(11, 0xff)]),
      }),
    },
    'a negative PAX size': { archive: rawTar(paxHeader({ size: '-1' }), file) },
    'a PAX size that is too large': { archive: rawTar(paxHeader({ size: '9'.repeat(20) }), file) },
    'a PAX record with a wrong length': {
      archive: rawTar({ name: 'x', type: 'x', body: '99 path=a\n' }, file),
    },
    'a PAX record without "="': {
      archive: rawTar({ name: 'x', type: 'x', body: '8 patha\n' }, file),
    },
    'a PAX header of 2 MiB': {
      archive: rawTar(paxHeader({ comment: 'x'.repeat(2 * 1024 * 1024) }), file),
    },
    'a PAX header that claims 1 TiB': {
      archive: rawTar({
        name: 'x',
        type: 'x',
        size: Buffer.from('8000000000000000000000c4', 'hex'),
      }),
    },
    'a global header that renames all': { archive: rawTar(paxHeader({ path: 'all' }, 'g'), file) },
    'a PAX and a GNU name at once': {
      archive: rawTar(paxHeader({ path: 'a' }), { name: 'L', type: 'L', body: 'b\0' }, file),
    },
    'an end after a PAX header': { archive: Buffer.concat([paxHeader({ path: 'a' }), TAR_END]) },
    'a wrong checksum': { archive: rawTar({ ...file, checksum: '000001\0 ' }) },
    'an unknown type': { archive: rawTar({ ...file, type: 'Z' }), path: 'file' },
    'a single zero block inside': { archive: rawTar(file, Buffer.alloc(512), file) },
    'an end in a header': { archive: rawMember(file).subarray(0, 300) },
    'an end in a content': {
      archive: rawMember({ ...file, body: 'x'.repeat(2000) }).subarray(0, 1024),
    },
    'a white-out of nothing': { archive: rawTar({ name: 'a/.wh.' }), path: 'a/.wh.' },
    'a white-out of "."': { archive: rawTar({ name: '.wh..' }), path: '.wh..' },
    'a white-out of ".."': { archive: rawTar({ name: 'a/.wh...' }), path: 'a/.wh...' },
    'an entry below a white-out': { archive: rawTar({ name: '.wh.a/b' }), path: '.wh.a/b' },
    'a device number out of range': {
      archive: rawTar({ name: 'd', type: '3', major: '7777777' }),
      path: 'd',
    },
    'a sparse map beyond its file': {
      archive: rawTar(paxHeader({ 'GNU.sparse.map': '0,7', 'GNU.sparse.size': '3' }), file),
      path: 'file',
    },
    'a sparse map that does not fit its content': {
      archive: rawTar(paxHeader({ 'GNU.sparse.map': '0,5', 'GNU.sparse.size': '7' }), file),
      path: 'file',
    },
    'a sparse file of 1 PiB': {
      archive: rawTar(
        paxHeader({ 'GNU.sparse.map': '0,7', 'GNU.sparse.size': `${2 ** 50}` }),
        file,
      ),
      path: 'file',
    },
    'a name of 40,000 bytes': { archive: rawTar(paxHeader({ path: 'a/'.repeat(20_000) }), file) },
  }
  for (const [name, { archive, path }] of Object.entries(cases)) {
    it(`is refused for ${name}`, async () => {
      await rejectsWith(readBytes(archive), 'bad-archive', path)
    })
  }

  it('is refused for more entries, or bytes, than the limits allow', async () => {
    const archive = rawTar(
      { name: 'a', body: 'x'.repeat(600) },
      { name: 'b', body: 'x'.repeat(600) },
    )
    const limit = (uncompressedSizeBytesMax: number, entryCountMax: number) =>
      readBytes(archive, { limits: { uncompressedSizeBytesMax, entryCountMax } })
    await limit(archive.length, 2)
    await rejectsWith(limit(archive.length, 1), 'bad-archive', 'b')
    await rejectsWith(limit(archive.length - 1, 2), 'bad-archive')
  })
})

describe('a blob that is still arriving', () => {
  const archive = rawTar({ name: 'a', body: 'x'.repeat(300_000) }, { name: 'b', body: 'end' })

  it('is read as it grows, and under its later name when it was whole before', async () => {
    await using directory = await temporaryDirectory()
    const [path, blob] = ['arriving', 'blob'].map((name) => join(directory.path, name))
    assert.ok(path !== undefined && blob !== undefined)
    // Its digest is for whoever writes it.
    const expected = { ...(await readBytes(archive)), digest: undefined }
    const arriving = { path, sizeBytes: archive.length }
    await writeFile(path, archive.subarray(0, 1000))
    const reading = read(blob, { arriving })
    await appendFile(path, archive.subarray(1000, 200_000))
    await appendFile(path, archive.subarray(200_000))
    await rename(path, blob)
    assert.deepEqual(await reading, expected)
    assert.deepEqual(await read(blob, { arriving }), expected)
  })

  it('ends with its reader when that is cancelled, and when it is nowhere', async () => {
    await using directory = await temporaryDirectory()
    const path = join(directory.path, 'arriving')
    await writeFile(path, archive.subarray(0, 1000))
    const controller = new AbortController()
    const arriving = { path, sizeBytes: archive.length }
    const reading = read(join(directory.path, 'blob'), { arriving, signal: controller.signal })
    controller.abort(new Error('enough'))
    await assert.rejects(reading, /enough/)
    const nowhere = { path: `${path}-not`, sizeBytes: 1 }
    await rejectsWith(read(join(directory.path, 'blob'), { arriving: nowhere }), 'ENOENT')
  })
})
