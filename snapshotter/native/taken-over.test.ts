import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { bytesEntry, pack, read } from './testing/layer-files.ts'
import { inOtherProcess } from './testing/other-process.ts'

describe('parts of layers that were compressed before', () => {
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
      const hex = inOtherProcess('pack-into-store.js', [root], { input: content })
      return join(root, 'sha256', hex)
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
})
