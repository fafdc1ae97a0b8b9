import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LayerEntry } from '../layer/entry.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import type { PackEntry } from './kernel-types.ts'
import { pack, plain, read } from './testing/layer-files.ts'

/** Around the blocks of 64 bytes, the eight bytes of length at an end, and many blocks. */
const SIZES = [0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 4096, 100_003, 1_048_577]
/** Each size beside each other one. */
const TURNS = 7

interface Digests {
  readonly diffId: string
  readonly digest: string | undefined
  readonly packed: readonly (string | undefined)[]
  readonly found: readonly (string | undefined)[]
}

async function digestsOf(root: string, sizes: readonly number[], name: string): Promise<Digests> {
  const output = join(root, name)
  const entries = sizes.map(
    (sizeBytes, index): PackEntry => ({
      type: 'file',
      path: `f${index}`,
      ...plain,
      sizeBytes,
      source: { kind: 'path', root, path: `f${index}` },
    }),
  )
  const packed = await pack(entries, { output, compression: 'gzip' })
  const layer = await read(output)
  assert.equal(layer.diffId, packed.diffId)
  assert.equal(layer.digest, packed.digest)
  const { diffId, digest } = packed
  return { diffId, digest, packed: ofFiles(packed.entries), found: ofFiles(layer.entries) }
}

function ofFiles(entries: readonly LayerEntry[]): (string | undefined)[] {
  return entries.map((entry) => (entry.type === 'file' ? entry.digest : undefined))
}

describe('SHA-256 of the addon', () => {
  it('is that of others, two messages at a time and where the processor does not help', async () => {
    await using directory = await temporaryDirectory()
    const sizes = Array.from({ length: TURNS }, (_, turn) => [
      ...SIZES.slice(turn),
      ...SIZES.slice(0, turn),
    ]).flat()
    const expected: string[] = []
    for (const [index, size] of sizes.entries()) {
      const bytes = Buffer.alloc(size, `${index} of ${size}, `)
      expected.push(`sha256:${createHash('sha256').update(bytes).digest('hex')}`)
      await writeFile(join(directory.path, `f${index}`), bytes)
    }
    const fast = await digestsOf(directory.path, sizes, 'fast')
    assert.deepEqual(fast.packed, expected)
    assert.deepEqual(fast.found, expected)
    process.env['TSBUILD_NATIVE_NO_SHA'] = '1'
    try {
      assert.deepEqual(await digestsOf(directory.path, sizes, 'slow'), fast)
    } finally {
      delete process.env['TSBUILD_NATIVE_NO_SHA']
    }
  })
})
