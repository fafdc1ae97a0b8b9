import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, readdir, readFile, stat, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createGzip, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { requires } from '../testing/requires.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { KernelError } from './kernel-error.ts'
import { kernel } from './kernel.ts'
import {
  bytesEntry,
  pack,
  readBytes,
  rejectsWith,
  summary,
  unpackBytes,
} from './testing/layer-files.ts'
import { paxHeader, rawTar } from './testing/raw-tar.ts'

const RUNS = Number(process.env['TSBUILD_PROPERTY_RUNS'] ?? 60)

/** The overlay form's opaque mark. */
const opaqueMark = (path: string): Uint8Array | undefined =>
  kernel.getXattr(path, 'trusted.overlay.opaque')

describe('an archive that is large in one way', () => {
  it('may have names with line ends and of 255 bytes, and paths of 32 KiB', async () => {
    await using directory = await temporaryDirectory()
    const long = 'n'.repeat(255)
    const deep = `${'d'.repeat(200)}/`.repeat(160)
    const archive = rawTar(
      { name: 'line\nend', body: 'x' },
      paxHeader({ path: long }),
      { name: 'x' },
      paxHeader({ path: `${deep}f` }),
      { name: 'x' },
    )
    const { root, result } = await unpackBytes(directory.path, archive)
    assert.deepEqual(summary(result.entries), ['file line\nend', `file ${long}`, `file ${deep}f`])
    assert.deepEqual((await readdir(root)).sort(), ['d'.repeat(200), 'line\nend', long].sort())
    const tooLong = rawTar(paxHeader({ path: 'n'.repeat(256) }), { name: 'x' })
    await rejectsWith(unpackBytes(directory.path, tooLong), 'ENAMETOOLONG', 'n'.repeat(256))
    await kernel.removeTree(root, new AbortController().signal)
  })

  it('stops a zip bomb at the limit, with little on the disk', async function () {
    this.timeout(60_000)
    await using directory = await temporaryDirectory()
    const bomb = await zeros(2 ** 27)
    assert.ok(bomb.length < 200_000)
    const limits = { uncompressedSizeBytesMax: 20_000_000, entryCountMax: 10 }
    const archive = Buffer.concat([
      gzipSync(rawTar({ name: 'f', size: '10000000000' }).subarray(0, 512)),
      bomb,
    ])
    await rejectsWith(unpackBytes(directory.path, archive, { limits }), 'bad-archive')
    const { blocks } = await stat(join(directory.path, 'root/f')).catch(() => ({ blocks: 0 }))
    assert.ok(blocks * 512 < 25_000_000)
  })

  it('takes a directory of 30,000 entries in time and memory that are linear', async function () {
    this.timeout(120_000)
    const count = 30_000
    const archive = rawTar(...Array.from({ length: count }, (_, i) => ({ name: `d/.wh.f${i}` })))
    const before = process.memoryUsage().rss
    const { entries } = await readBytes(archive, {
      limits: { uncompressedSizeBytesMax: 1e9, entryCountMax: count },
    })
    assert.equal(entries.length, count)
    assert.ok(process.memoryUsage().rss - before < 200e6)
  })
})

describe('a damaged archive', () => {
  const plain = rawTar(
    { name: 'dir', type: '5' },
    paxHeader({ 'SCHILY.xattr.user.a': 'value' }),
    { name: 'dir/file', body: 'content '.repeat(300) },
    { name: 'hard', type: '1', link: 'dir/file' },
    { name: 'link', type: '2', link: 'dir' },
  )

  for (const compression of ['gzip', 'zstd'] as const) {
    it(`in ${compression} never passes for the whole one: every cut and flipped bit is seen`, async function () {
      this.timeout(120_000)
      await using directory = await temporaryDirectory()
      const output = join(directory.path, 'packed')
      const entries = Array.from({ length: 5 }, (_, i) => bytesEntry(`f${i}`, `${i} `.repeat(2000)))
      const { diffId } = await pack(entries, { output, compression })
      const whole = await readFile(output)
      const damage = fc.record({
        cut: fc.option(fc.nat(whole.length - 1), { nil: undefined }),
        bit: fc.nat(whole.length * 8 - 1),
      })
      const property = fc.asyncProperty(damage, async ({ cut, bit }) => {
        const bytes = Buffer.from(whole.subarray(0, cut))
        if (cut === undefined) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        const outcome = await readBytes(bytes, { compression }).catch((error: unknown) => error)
        if (outcome instanceof KernelError) assert.equal(outcome.code, 'bad-archive')
        // Bits of a header that say nothing of the content (time, name) leave it as it was.
        else assert.ok(cut === undefined && 'diffId' in Object(outcome))
        if (!(outcome instanceof KernelError)) assert.equal(Object(outcome).diffId, diffId)
      })
      await fc.assert(property, { numRuns: RUNS })
    })
  }

  it('of plain bytes is read or refused, and unpacks to nothing outside', async function () {
    this.timeout(120_000)
    await using directory = await temporaryDirectory()
    await writeFile(join(directory.path, 'canary'), 'safe')
    const flips = fc.array(fc.tuple(fc.nat(plain.length - 1), fc.nat(255)), {
      minLength: 1,
      maxLength: 4,
    })
    let number = 0
    const property = fc.asyncProperty(flips, async (changes) => {
      const bytes = Buffer.from(plain)
      for (const [at, value] of changes) bytes[at] = value
      number += 1
      const place = join(directory.path, `${number}`)
      await mkdir(place)
      const outcome = await unpackBytes(place, bytes).catch((error: unknown) => error)
      if (outcome instanceof Error) assert.ok(outcome instanceof KernelError, String(outcome))
      assert.deepEqual(await readdir(place), ['root'])
    })
    await fc.assert(property, { numRuns: RUNS })
    assert.equal(await readFile(join(directory.path, 'canary'), 'utf8'), 'safe')
  })
})

describe('order and meaning in one archive', () => {
  it('the last of several entries of a path holds, and a link keeps what it was made of', async () => {
    await using directory = await temporaryDirectory()
    const archive = rawTar(
      { name: 'f', body: '1' },
      { name: 'h', type: '1', link: 'f' },
      { name: 'f', body: '2', mode: '0000600' },
      { name: 'd', type: '5', mode: '0000700' },
      { name: 'd', type: '5', mode: '0000711' },
      { name: 's', type: '2', link: 'a' },
      { name: 's', type: '2', link: 'b' },
    )
    const { root } = await unpackBytes(directory.path, archive)
    assert.equal(await readFile(join(root, 'f'), 'utf8'), '2')
    assert.equal(await readFile(join(root, 'h'), 'utf8'), '1')
    assert.equal((await stat(join(root, 'd'))).mode & 0o777, 0o711)
  })

  it('refuses a hard link before its target, as other builders do', async () => {
    await using directory = await temporaryDirectory()
    const archive = rawTar({ name: 'h', type: '1', link: 'f' }, { name: 'f', body: '1' })
    await rejectsWith(unpackBytes(directory.path, archive), 'bad-archive', 'h')
  })

  describe('as root', () => {
    requires('root')

    it('keeps attributes of 64 KiB and refuses longer ones', async () => {
      await using directory = await temporaryDirectory()
      const mount = join(directory.path, 'mount')
      const value = Buffer.alloc(65_536, 'v')
      const name = 'SCHILY.xattr.trusted.large'
      const large = rawTar(paxHeader({ [name]: value }), { name: 'f', body: 'x' })
      const { entries } = await readBytes(large)
      const [entry] = entries
      assert.ok(entry?.type === 'file')
      assert.deepEqual(entry.xattrs, [{ name: 'trusted.large', value }])
      // A tmpfs takes them; ext4 has less room.
      await withSmallDisk(mount, 8, async () => {
        const { root } = await unpackBytes(mount, large)
        assert.deepEqual(kernel.getXattr(join(root, 'f'), 'trusted.large'), value)
        const larger = rawTar(paxHeader({ [name]: Buffer.alloc(65_537) }), { name: 'g' })
        await rejectsWith(unpackBytes(mount, larger), 'E2BIG', 'g')
      })
    })

    it('takes white-outs by their name, whatever they are, and marks inside opaque directories', async () => {
      await using directory = await temporaryDirectory()
      const archive = rawTar(
        { name: '.wh.dir', type: '5' },
        { name: '.wh.link', type: '2', link: '/etc/passwd' },
        { name: '.wh.pipe', type: '6' },
        { name: '.wh.full', body: 'content that means nothing' },
        { name: 'o', type: '5' },
        { name: 'o/.wh..wh..opq', type: '5' },
        { name: 'o/in/.wh..wh..opq' },
        { name: 'o/in/.wh.gone' },
        { name: 'o/in/kept', body: 'x' },
      )
      const { root } = await unpackBytes(directory.path, archive, { whiteouts: 'overlay' })
      for (const name of ['dir', 'link', 'pipe', 'full', 'o/in/gone']) {
        const { rdev } = await stat(join(root, name))
        assert.equal(rdev, 0, name)
        assert.ok((await stat(join(root, name))).isCharacterDevice(), name)
      }
      assert.deepEqual(opaqueMark(join(root, 'o')), Buffer.from('y'))
      assert.deepEqual(opaqueMark(join(root, 'o/in')), Buffer.from('y'))
    })

    it('writes a white-out through a symlink only inside the root', async () => {
      await using directory = await temporaryDirectory()
      await writeFile(join(directory.path, 'canary'), 'safe')
      const archive = rawTar({ name: 'out', type: '2', link: '..' }, { name: 'out/.wh.canary' })
      const { root } = await unpackBytes(directory.path, archive, { whiteouts: 'overlay' })
      assert.equal(await readFile(join(directory.path, 'canary'), 'utf8'), 'safe')
      assert.ok((await stat(join(root, 'canary'))).isCharacterDevice())
    })

    it('fails on a full disk, naming blob, entry and reason', async () => {
      await using directory = await temporaryDirectory()
      const mount = join(directory.path, 'mount')
      await withSmallDisk(mount, 4, async () => {
        const root = join(mount, 'root')
        await mkdir(root)
        const blob = join(directory.path, 'blob')
        const content = Buffer.alloc(6_000_000, 'x')
        await writeFile(
          blob,
          rawTar({ name: 'small', body: 'x' }, { name: 'large', body: content }),
        )
        const reading = kernel.readLayer({
          blob,
          compression: 'uncompressed',
          extractTo: root,
          entries: 'none',
          whiteouts: 'overlay',
          userXattr: false,
          ownership: 'owners',
          limits: { uncompressedSizeBytesMax: 1e9, entryCountMax: 10 },
          signal: new AbortController().signal,
        })
        await assert.rejects(reading, (error: unknown) => {
          assert.ok(error instanceof KernelError)
          assert.equal(error.code, 'ENOSPC')
          assert.equal(error.path, 'large')
          assert.match(error.message, /could not unpack '.*blob', at 'large': No space left/)
          return true
        })
        assert.equal((await statfs(mount)).bavail, 0)
      })
    })
  })
})

/** A gzip of so many zeros, made in pieces. */
async function zeros(sizeBytes: number): Promise<Buffer> {
  const gzip = createGzip()
  const chunk = Buffer.alloc(1 << 20)
  const chunks: Buffer[] = []
  gzip.on('data', (part: Buffer) => chunks.push(part))
  for (let done = 0; done < sizeBytes; done += chunk.length) {
    if (!gzip.write(chunk)) await new Promise((resolve) => gzip.once('drain', resolve))
  }
  gzip.end()
  await new Promise((resolve) => gzip.once('end', resolve))
  return Buffer.concat(chunks)
}

async function withSmallDisk(
  path: string,
  megabytes: number,
  test: () => Promise<void>,
): Promise<void> {
  await mkdir(path)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path])
  try {
    await test()
  } finally {
    execFileSync('umount', ['--lazy', path])
  }
}
