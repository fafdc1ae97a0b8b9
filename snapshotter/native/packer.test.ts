import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { readdir, readFile, rename, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { requires } from '../testing/requires.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { kernel } from './kernel.ts'
import type { PackEntry } from './kernel-types.ts'
import { bytesEntry, never, pack, plain, read, rejectsWith } from './testing/layer-files.ts'
import { inOtherProcess } from './testing/other-process.ts'

/** One entry of each type, with values that only PAX can hold among them. */
const everyType: readonly PackEntry[] = [
  { type: 'dir', path: '', ...plain, mode: 0o755 },
  { type: 'dir', path: 'dir', ...plain, mode: 0o1777, uid: 3_000_000, gid: 4_000_000_000 },
  bytesEntry('dir/file', 'content'),
  bytesEntry('dir/empty', ''),
  { ...bytesEntry('dir/suid', 'x'), type: 'file', mode: 0o4755, mtimeSec: -5 } as PackEntry,
  { type: 'hardlink', path: 'dir/hard', ...plain, target: 'dir/file' },
  { type: 'symlink', path: 'dir/link', ...plain, mode: 0o777, target: '../somewhere/ä' },
  { type: 'char', path: 'null', ...plain, major: 1, minor: 3 },
  { type: 'block', path: 'disk', ...plain, major: 259, minor: 1_000_000, mtimeSec: 10_000_000_000 },
  { type: 'fifo', path: 'pipe', ...plain },
  { type: 'whiteout', path: 'dir/removed' },
  { type: 'opaque', path: 'dir' },
  bytesEntry('näme', 'utf-8'),
  bytesEntry('raw\udcff\udc80', 'no utf-8'),
  bytesEntry('x'.repeat(255), 'longest component'),
  bytesEntry(`${'d/'.repeat(200)}deep`, 'long path'),
  { type: 'symlink', path: 'long', ...plain, mode: 0o777, target: 't/'.repeat(100) },
  {
    ...bytesEntry('attributes', 'x'),
    xattrs: [
      { name: 'security.capability', value: Buffer.from([1, 0, 0, 2, 0, 4, 0, 0]) },
      { name: 'user.note', value: Buffer.from('a\n=b\0') },
    ],
  } as PackEntry,
]

function digestOfFile(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

describe('packing a layer', () => {
  for (const compression of ['uncompressed', 'gzip', 'zstd'] as const) {
    it(`reads back every type of entry: ${compression}`, async () => {
      await using directory = await temporaryDirectory()
      const output = join(directory.path, 'blob')
      const packed = await pack(everyType, { output, compression })
      const bytes = await readFile(output)
      assert.equal(packed.digest, digestOfFile(bytes))
      assert.equal(packed.sizeBytes, bytes.length)
      const layer = await read(output)
      assert.deepEqual(layer.entries, packed.entries)
      assert.equal(layer.digest, packed.digest)
      assert.equal(layer.sizeBytes, packed.sizeBytes)
      assert.equal(layer.diffId, packed.diffId)
      assert.equal(layer.uncompressedSizeBytes, packed.uncompressedSizeBytes)
      const entries = everyType.map((entry) => `${entry.type} ${entry.path}`)
      assert.deepEqual(
        layer.entries.map((entry) => `${entry.type} ${entry.path}`),
        entries,
      )
    })
  }

  it('keeps extended attributes of the largest size that Linux has', async () => {
    await using directory = await temporaryDirectory()
    const output = join(directory.path, 'blob')
    const xattrs = Array.from({ length: 3 }, (_, i) => ({
      name: `user.${i}`,
      value: Buffer.alloc(65_536, i),
    }))
    const packed = await pack([{ type: 'dir', path: 'd', ...plain, xattrs }], { output })
    assert.deepEqual((await read(output)).entries, packed.entries)
    assert.deepEqual(packed.entries[0], { type: 'dir', path: 'd', ...plain, xattrs })
  })

  it('is written in another compression with the same tar in it', async () => {
    await using directory = await temporaryDirectory()
    const file = (name: string): string => join(directory.path, name)
    const packed = await pack(everyType, {
      output: file('uncompressed'),
      compression: 'uncompressed',
    })
    let blob = file('uncompressed')
    for (const compression of ['zstd', 'gzip', 'uncompressed'] as const) {
      const output = file(`made-${compression}`)
      const options = { blob, output, compression, level: undefined, signal: never }
      const made = await kernel.recompress({ ...options, uncompressedSizeBytesMax: 1e9 })
      assert.equal(made.diffId, packed.diffId)
      assert.equal(made.digest, digestOfFile(await readFile(output)))
      assert.deepEqual((await read(output)).entries, packed.entries)
      blob = output
    }
    assert.deepEqual(await readFile(blob), await readFile(file('uncompressed')))
  })

  it('leaves no file when what it shall recompress is damaged or too large', async () => {
    await using directory = await temporaryDirectory()
    const [blob, output] = [join(directory.path, 'blob'), join(directory.path, 'made')]
    await pack(everyType, { output: blob, compression: 'gzip' })
    const options = { blob, output, compression: 'zstd', level: undefined, signal: never } as const
    await rejectsWith(
      kernel.recompress({ ...options, uncompressedSizeBytesMax: 10 }),
      'bad-archive',
    )
    await truncate(blob, 100)
    await rejectsWith(
      kernel.recompress({ ...options, uncompressedSizeBytesMax: 1e9 }),
      'bad-archive',
    )
    assert.deepEqual(await readdir(directory.path), ['blob'])
  })

  it('writes a tar that GNU tar lists', async () => {
    await using directory = await temporaryDirectory()
    const output = join(directory.path, 'blob')
    await pack(everyType, { output, compression: 'gzip' })
    const listed = spawnSync('tar', ['tzf', output], { encoding: 'latin1' })
    assert.equal(listed.stderr, '')
    const names = listed.stdout.trimEnd().split('\n')
    assert.equal(names.length, everyType.length)
    assert.ok(names.includes('dir/.wh.removed') && names.includes('dir/.wh..wh..opq'))
    assert.ok(names.includes('dir/') && names.includes(`${'d/'.repeat(200)}deep`))
  })

  it('writes gzip that zlib accepts, with nothing in its header that changes', async () => {
    await using directory = await temporaryDirectory()
    const output = join(directory.path, 'blob')
    // Several blocks of all kinds of data.
    const noise = Buffer.alloc(3_000_000, createHash('sha512').update('seed').digest())
    const entries = [
      bytesEntry('a', 'a'.repeat(2_500_000)),
      bytesEntry('b', noise.toString('latin1')),
    ]
    for (const level of [undefined, 0, 1, 3, 6, 9]) {
      const file = `${output}-${level}`
      const packed = await pack(entries, { output: file, compression: 'gzip', level })
      const bytes = await readFile(file)
      assert.deepEqual(bytes.subarray(0, 10), Buffer.from('1f8b0800000000000003', 'hex'))
      assert.equal(digestOfFile(gunzipSync(bytes)), packed.diffId)
      assert.equal((await read(file)).diffId, packed.diffId)
    }
    await rejectsWith(pack([], { compression: 'gzip', level: 10 }), 'bad-level')
    await rejectsWith(pack([], { compression: 'zstd', level: 23 }), 'bad-level')
  })

  it('gives the same bytes whatever the number of threads', async () => {
    await using directory = await temporaryDirectory()
    const answers = ['1', '2', '7', '8'].map((threads) => {
      const place = join(directory.path, threads)
      mkdirSync(place)
      const env = { TSBUILD_NATIVE_THREADS: threads }
      return inOtherProcess('pack-digests.js', [place], { env })
    })
    assert.equal(new Set(answers).size, 1)
    const digests: unknown = JSON.parse(answers[0] ?? '')
    assert.ok(typeof digests === 'object' && digests !== null)
    // The defaults are level 1 of gzip, level 3 of zstd.
    assert.equal(new Set(Object.values(digests)).size, 2 + 3)
  })

  it('gives the same bytes wherever the state of a compressor lies', async () => {
    const digests = new Set<string>()
    // Many threads have many places; every process has others.
    for (const threads of ['1', '60']) {
      await using directory = await temporaryDirectory()
      const env = { TSBUILD_NATIVE_THREADS: threads }
      digests.add(inOtherProcess('pack-beginnings.js', [directory.path], { env }))
    }
    assert.equal(digests.size, 1)
  })

  it('reads files below a root, small and large, and tells their digests', async () => {
    await using directory = await temporaryDirectory()
    const large = Buffer.alloc(5_000_000, 'large')
    await writeFile(join(directory.path, 'large'), large)
    await writeFile(join(directory.path, 'small'), 'small')
    const file = (path: string, sizeBytes: number): PackEntry => ({
      type: 'file',
      path: `in/${path}`,
      ...plain,
      sizeBytes,
      source: { kind: 'path', root: directory.path, path },
    })
    const packed = await pack([file('large', large.length), file('small', 5)])
    assert.equal(packed.digest, undefined)
    assert.deepEqual(
      packed.entries.map((entry) => entry.type === 'file' && entry.digest),
      [digestOfFile(large), digestOfFile(Buffer.from('small'))],
    )
  })

  it('takes more entries than it holds at once', async () => {
    const entries = Array.from({ length: 50_000 }, (_, i) => bytesEntry(`f${i}`, 'x'))
    const packed = await pack(entries)
    assert.equal(packed.entries.length, entries.length)
    assert.equal(packed.uncompressedSizeBytes, 50_000 * 1024 + 1024)
  })

  it('refuses names that would be white-outs and paths that are not normalised', async () => {
    await rejectsWith(pack([bytesEntry('a/.wh.b', '')]), 'reserved-name', 'a/.wh.b')
    await rejectsWith(pack([bytesEntry('.wh.d/file', '')]), 'reserved-name', '.wh.d/file')
    for (const path of ['/a', 'a/', 'a//b', './a', 'a/../b', '']) {
      await rejectsWith(pack([bytesEntry(path, '')]), 'bad-entry')
    }
    await rejectsWith(pack([bytesEntry('nul\0', '')]), 'bad-argument')
  })
})

describe('a file that changes while it is packed', () => {
  const changes: Record<string, (path: string) => Promise<void>> = {
    shrinks: (path) => truncate(path, 2),
    grows: (path) => writeFile(path, 'longer than before'),
    'becomes a symlink': async (path) => {
      await rename(path, `${path}.old`)
      await symlink(`${path}.old`, path)
    },
  }
  for (const [name, change] of Object.entries(changes)) {
    it(`fails when it ${name}, and leaves no blob`, async () => {
      await using directory = await temporaryDirectory()
      const root = directory.path
      await writeFile(join(root, 'file'), 'as seen')
      const source = { kind: 'path', root, path: 'file' } as const
      const entry: PackEntry = { type: 'file', path: 'p', ...plain, sizeBytes: 7, source }
      await change(join(root, 'file'))
      await rejectsWith(pack([entry], { output: join(root, 'blob') }), 'content-changed', 'file')
      assert.ok(!(await readdir(root)).includes('blob'))
    })
  }

  it('fails when its bytes are not those expected', async () => {
    const [packed] = (await pack([bytesEntry('f', 'before')])).entries
    assert.ok(packed?.type === 'file')
    const entry = { ...bytesEntry('f', 'after!'), expect: packed.digest } as PackEntry
    await rejectsWith(pack([entry]), 'content-changed')
  })

  it('fails with the errno when it vanished', async () => {
    await using directory = await temporaryDirectory()
    const source = { kind: 'path', root: directory.path, path: 'gone/file' } as const
    const entry: PackEntry = { type: 'file', path: 'p', ...plain, sizeBytes: 7, source }
    await rejectsWith(pack([entry]), 'ENOENT', 'gone/file')
  })

  it('fails with the errno when it cannot be read to its end, and leaves no blob', async () => {
    await using directory = await temporaryDirectory()
    const output = join(directory.path, 'blob')
    // A regular file for stat(2) whose bytes are an error: there is no memory at address 0.
    const source = { kind: 'path', root: `/proc/${process.pid}`, path: 'mem' } as const
    const entry: PackEntry = { type: 'file', path: 'f', ...plain, sizeBytes: 0, source }
    await rejectsWith(pack([bytesEntry('a', 'before'), entry], { output }), 'EIO', 'mem')
    assert.deepEqual(await readdir(directory.path), [])
  })

  it('is never read through a symlink in its path', async () => {
    await using directory = await temporaryDirectory()
    await symlink('/etc', join(directory.path, 'link'))
    const source = { kind: 'path', root: directory.path, path: 'link/passwd' } as const
    const entry: PackEntry = { type: 'file', path: 'p', ...plain, sizeBytes: 7, source }
    await rejectsWith(pack([entry]), 'content-changed', 'link/passwd')
  })
})

describe('a packing that does not end well', () => {
  it('leaves nothing and rejects with the reason when it is aborted', async () => {
    await using directory = await temporaryDirectory()
    const controller = new AbortController()
    const output = join(directory.path, 'blob')
    await using packer = kernel.createPacker({
      output,
      compression: 'gzip',
      level: undefined,
      signal: controller.signal,
    })
    await packer.add([bytesEntry('a', 'a'.repeat(3_000_000))])
    const reason = new Error('enough')
    controller.abort(reason)
    await assert.rejects(packer.finish(), reason)
    assert.deepEqual(await readdir(directory.path), [])
  })

  it('leaves nothing when it is disposed before its end', async () => {
    await using directory = await temporaryDirectory()
    const output = join(directory.path, 'blob')
    const packer = kernel.createPacker({
      output,
      compression: 'gzip',
      level: undefined,
      signal: never,
    })
    await packer.add([bytesEntry('a', 'a')])
    await packer[Symbol.asyncDispose]()
    assert.deepEqual(await readdir(directory.path), [])
    await rejectsWith(packer.add([]), 'bad-argument')
  })

  it('does not touch a file that is there already', async () => {
    await using directory = await temporaryDirectory()
    const output = join(directory.path, 'blob')
    await writeFile(output, 'mine')
    await rejectsWith(pack([], { output }), 'EEXIST')
    assert.equal(await readFile(output, 'utf8'), 'mine')
  })

  describe('on a full disk', () => {
    requires('root')

    it('fails with ENOSPC and removes what it wrote', async () => {
      await using directory = await temporaryDirectory()
      const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', directory.path])
      assert.equal(mounted.status, 0)
      try {
        const output = join(directory.path, 'blob')
        await rejectsWith(
          pack([bytesEntry('a', 'a'.repeat(9_000_000))], { output }),
          'ENOSPC',
          output,
        )
        assert.deepEqual(await readdir(directory.path), [])
      } finally {
        spawnSync('umount', [directory.path])
      }
    })
  })
})
