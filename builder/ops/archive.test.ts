import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { LayerEntry } from '../../snapshotter/index.ts'
import { digestOf } from '../../registry-client/oci/index.ts'
import { detectArchive, unpackArchive } from './archive.ts'
import { LayerDraft } from './copy-draft.ts'

describe('detectArchive', () => {
  let directory = ''
  let tar: Buffer
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-archive-'))
    writeFileSync(join(directory, 'f'), 'x'.repeat(300_000))
    tar = execFileSync('tar', ['-cf', '-', '-C', directory, 'f'])
  })
  after(() => rmSync(directory, { recursive: true }))

  const detect = (bytes: Uint8Array): Promise<string> => {
    const file = join(directory, 'file')
    writeFileSync(file, bytes)
    return detectArchive(file)
  }

  it('knows a tar by its header, also inside gzip', async () => {
    assert.equal(await detect(tar), 'yes')
    assert.equal(await detect(gzipSync(tar)), 'yes')
    assert.equal(await detect(gzipSync(tar, { level: 0 })), 'yes')
    assert.equal(await detect(tar.subarray(0, 512)), 'yes')
  })

  it('takes everything else for a file, whatever its name or first bytes are', async () => {
    const damaged = Buffer.from(tar)
    damaged[0] = 0x7a
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from('text'),
      Buffer.alloc(10_240),
      tar.subarray(0, 511),
      damaged,
      gzipSync('text'),
      gzipSync(''),
      gzipSync(Buffer.alloc(10_240)),
      Buffer.from([0x1f, 0x8b, 0x08, 1, 2, 3]),
    ]) {
      assert.equal(await detect(bytes), 'no')
    }
  })

  it('leaves other compressions to whoever can unpack them', async () => {
    for (const program of ['bzip2', 'xz', 'zstd']) {
      assert.equal(await detect(execFileSync(program, ['-c'], { input: tar })), 'maybe')
    }
  })
})

describe('unpackArchive', () => {
  const root = { type: 'dir', path: '', mode: 0o755, uid: 0, gid: 0, mtimeSec: 0 } as const
  const file = (path: string, text: string): LayerEntry => ({
    ...root,
    type: 'file',
    path,
    sizeBytes: text.length,
    digest: digestOf(text),
  })

  it('finds the bytes of a file that was replaced under the hard link made before', async () => {
    const draft = new LayerDraft({
      lookup: (path) => Promise.resolve(path === '' ? root : undefined),
    })
    const entries: LayerEntry[] = [
      file('name', 'old'),
      { ...root, type: 'hardlink', path: 'link', target: 'name' },
      file('name', 'new one'),
    ]
    await unpackArchive({
      draft,
      target: '',
      archive: { list: () => Promise.resolve(entries), sorted: undefined, root: '/unpacked' },
      owner: undefined,
      timeSec: 0,
    })
    assert.deepEqual(
      draft
        .items()
        .map(({ entry }) =>
          entry.type === 'file' && entry.source.kind === 'path'
            ? [entry.path, entry.source.path, entry.sizeBytes]
            : entry.path,
        ),
      [
        ['link', 'link', 3],
        ['name', 'name', 7],
      ],
    )
  })
})
