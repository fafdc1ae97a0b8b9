import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { readdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { requires } from '../testing/requires.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { kernel } from './kernel.ts'
import type { PackEntry } from './kernel-types.ts'
import { bytesEntry, never, pack, plain, read, rejectsWith } from './testing/layer-files.ts'

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
    const program = join(import.meta.dirname, 'testing/pack-digests.js')
    const answers = ['1', '2', '7', '8'].map((threads) => {
      const place = join(directory.path, threads)
      mkdirSync(place)
      const packed = spawnSync(process.execPath, [program, place], {
        encoding: 'utf8',
        env: { ...process.env, TSBUILD_NATIVE_THREADS: threads },
      })
      assert.equal(packed.stderr, '')
      return packed.stdout
    })
    assert.deepEqual(new Set(answers).size, 1)
    const digests: unknown = JSON.parse(answers[0] ?? '')
    assert.ok(typeof digests === 'object' && digests !== null)
    // The defaults are level 1 of gzip, level 3 of zstd.
    assert.equal(new Set(Object.values(digests)).size, 2 + 3)
  })

  for (const compression of ['gzip', 'zstd'] as const) {
    it(`takes over what it compressed before, with the same bytes: ${compression}`, async () => {
      await using directory = await temporaryDirectory()
      const words = Array.from({ length: 600_000 }, (_, i) => `${(i * i) % 9973} `).join('')
      // Parts as large as blocks, one that is the rest of a file, and a file too small to be found again.
      const content = `takes over: ${compression} ${words}`.repeat(4)
      const first = { output: join(directory.path, 'first'), compression }
      const packedFirst = await pack([bytesEntry('a', content), bytesEntry('b', 'x')], first)
      assert.equal(packedFirst.takenOverBytes, 0)
      const again = [bytesEntry('c', content), bytesEntry('d', content), bytesEntry('e', 'x')]
      const second = { output: join(directory.path, 'second'), compression }
      const packed = await pack(again, second)
      assert.ok(packed.takenOverBytes >= content.length * 1.5, `${packed.takenOverBytes} bytes`)
      assert.equal((await read(second.output)).diffId, packed.diffId)

      // The blobs are no longer what they were: everything is compressed again.
      await truncate(first.output)
      await truncate(second.output)
      const third = { output: join(directory.path, 'third'), compression }
      const packedAgain = await pack(again, third)
      assert.equal(packedAgain.digest, packed.digest)
      const other = { output: join(directory.path, 'other'), compression, level: 2 }
      assert.equal((await pack([bytesEntry('c', content)], other)).takenOverBytes, 0)
    })
  }

  describe('with a table of parts', () => {
    const words = Array.from({ length: 200_000 }, (_, i) => `${(i * i) % 9973} `).join('')

    /** Packs into a store of `root` in a process of its own, so that only the table can know of it. */
    function packElsewhere(root: string, content: string): string {
      mkdirSync(join(root, 'sha256'), { recursive: true })
      const program = join(import.meta.dirname, 'testing/pack-into-store.js')
      const packed = spawnSync(process.execPath, [program, root], {
        encoding: 'utf8',
        input: content,
      })
      assert.equal(packed.stderr, '')
      return join(root, 'sha256', packed.stdout)
    }

    async function packHere(root: string, content: string): ReturnType<typeof pack> {
      const output = join(root, 'output')
      await rm(output, { force: true })
      const partsTable = join(root, 'parts')
      return await pack([bytesEntry('c', content)], {
        ...{ output, compression: 'gzip', level: 2, partsTable },
      })
    }

    const damages: Record<string, (root: string, blob: string) => Promise<unknown>> = {
      'the blob is gone': (_, blob) => rm(blob),
      'the blob has other bytes': async (_, blob) => {
        await writeFile(blob, Buffer.alloc((await readFile(blob)).length, 7))
      },
      'the table is cut': (root) => truncate(join(root, 'parts'), 50),
      'the table has other bytes': async (root) => {
        const table = await readFile(join(root, 'parts'))
        for (let at = 70; at < table.length; at += 96) table[at] = 0xff ^ (table[at] ?? 0)
        await writeFile(join(root, 'parts'), table)
      },
      'the table is a directory': async (root) => {
        await rm(join(root, 'parts'))
        mkdirSync(join(root, 'parts'))
      },
    }
    for (const [what, damage] of Object.entries(damages)) {
      it(`takes over what another process compressed, but not when ${what}`, async () => {
        await using directory = await temporaryDirectory()
        // Each test has its own: this process remembers what the others packed.
        const content = `${what} ${words}`
        const blob = packElsewhere(directory.path, content)
        await damage(directory.path, blob)
        const alone = await packHere(directory.path, content)
        assert.equal(alone.takenOverBytes, 0)
        assert.equal((await read(join(directory.path, 'output'))).diffId, alone.diffId)
      })
    }

    it('takes over what another process compressed, with the same bytes', async () => {
      await using directory = await temporaryDirectory()
      const blob = packElsewhere(directory.path, words)
      const packed = await packHere(directory.path, words)
      assert.equal(packed.takenOverBytes, words.length)
      assert.equal((await read(join(directory.path, 'output'))).diffId, packed.diffId)
      // The same files give the same blob to a process that finds nothing.
      await using other = await temporaryDirectory()
      assert.equal(basename(packElsewhere(other.path, words)), basename(blob))
    })
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
