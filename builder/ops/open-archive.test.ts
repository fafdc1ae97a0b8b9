import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kernel } from '../../snapshotter/index.ts'
import { SingleFileTree } from '../context/single-file-tree.ts'
import { digestOf } from '../../registry-client/oci/index.ts'
import { openArchive } from './open-archive.ts'

describe('openArchive', function () {
  this.timeout(60_000)
  let directory = ''
  let tar: Buffer
  let count = 0

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-open-archive-'))
    mkdirSync(join(directory, 'in'))
    for (let index = 0; index < 10; index++) {
      const noise = Array.from({ length: 5000 }, (_, at) => digestOf(`${index} ${at}`))
      writeFileSync(join(directory, 'in', `f${index}`), noise.join('\n'))
    }
    tar = execFileSync('tar', ['-cf', '-', '-C', directory, 'in'], { maxBuffer: 1 << 26 })
  })
  after(() => rmSync(directory, { recursive: true }))

  async function open(bytes: Uint8Array) {
    const hostName = `archive-${count++}`
    writeFileSync(join(directory, hostName), bytes)
    const digest = digestOf('not looked at')
    const file = { name: 'a', directory, hostName, digest, sizeBytes: bytes.length, mtimeSec: 0 }
    const tree = new SingleFileTree('the context', file)
    const entry = await tree.lookup('a')
    assert.ok(entry !== undefined)
    const lease = { temporaryPath: () => join(directory, `unpacked-${count++}`) }
    const match = {
      entry,
      name: 'a',
      digest,
      items: { count: 0, hasOwn: false, roots: new Set<string>(), pages: nothing },
    }
    const parts = { kernel, store: { lease } }
    return await openArchive(tree, match, parts, new AbortController().signal)
  }

  for (const program of ['bzip2', 'xz', 'zstd', 'gzip']) {
    it(`unpacks a tar of ${program}, and refuses one that breaks off`, async () => {
      const bytes = execFileSync(program, ['-1c'], { input: tar, maxBuffer: 1 << 26 })
      const archive = await open(bytes)
      assert.equal((await archive?.list())?.length, 11)
      assert.equal((await archive?.sorted?.page(0))?.length, 11)
      await assert.rejects(open(bytes.subarray(0, bytes.length * 0.7)), { code: 'bad-archive' })
    })

    it(`leaves what is no tar in ${program} as it is`, async () => {
      const bytes = execFileSync(program, ['-c'], { input: 'hello' })
      assert.equal(await open(bytes), undefined)
      assert.equal(await open(bytes.subarray(0, 12)), undefined)
      const empty = execFileSync(program, ['-c'], { input: Buffer.alloc(1024) })
      assert.equal(await open(empty), undefined)
    })
  }
})

async function* nothing(): AsyncGenerator<never> {}
