import assert from 'node:assert/strict'
import type { ScannedEntry } from '../native/kernel-types.ts'
import { scanned } from '../testing/entries.ts'
import { compareTrees } from './compare.ts'

function summary(before: readonly ScannedEntry[], after: readonly ScannedEntry[]): string[] {
  const changes = compareTrees(before, after, { isSameDirectory: true })
  return changes.map((entry) => `${entry.type} ${entry.path}`)
}

const base = [
  scanned('bin', 'dir'),
  scanned('bin/sh'),
  scanned('etc', 'dir'),
  scanned('etc/passwd'),
  scanned('etc/ssl', 'dir'),
  scanned('etc/ssl/cert'),
]

/** `base` with the entry at `path` changed, or taken out with everything below it. */
function changed(path: string, change: Partial<ScannedEntry> | undefined): ScannedEntry[] {
  if (change === undefined)
    return base.filter((entry) => entry.path !== path && !entry.path.startsWith(`${path}/`))
  return base.map((entry) => (entry.path === path ? { ...entry, ...change } : entry))
}

describe('comparison of two trees', () => {
  it('finds nothing where nothing changed', () => {
    assert.deepEqual(summary(base, [...base]), [])
  })

  it('notices each kind of change and includes the directories above', () => {
    const changes: Partial<ScannedEntry>[] = [
      { mode: 0o600 },
      { uid: 5 },
      { gid: 5 },
      { sizeBytes: 4 },
      { mtimeNsec: 1 },
      { ctimeNsec: 1 },
      { ino: 1 },
      { xattrs: [{ name: 'user.a', value: Buffer.from('b') }] },
    ]
    for (const change of changes) {
      assert.deepEqual(summary(base, changed('etc/ssl/cert', change)), [
        'dir etc',
        'dir etc/ssl',
        'file etc/ssl/cert',
      ])
    }
  })

  it('ignores inodes and change times of two copies', () => {
    const copy = base.map((entry) => ({
      ...entry,
      ino: entry.ino + 5000,
      ctimeSec: entry.ctimeSec + 1,
    }))
    assert.deepEqual(compareTrees(base, copy, { isSameDirectory: false }), [])
  })

  it('removes the topmost of what is gone', () => {
    assert.deepEqual(summary(base, changed('etc/ssl', undefined)), ['dir etc', 'whiteout etc/ssl'])
  })

  it('replaces a directory by a file without naming what was in it', () => {
    const after = [...changed('etc', undefined), scanned('etc')]
    assert.deepEqual(summary(base, after), ['file etc'])
  })

  it('takes a socket for nothing', () => {
    assert.deepEqual(summary(base, changed('etc/passwd', { type: 'socket' })), [
      'dir etc',
      'whiteout etc/passwd',
    ])
  })

  it('writes a new name of an unchanged file as a file of its own', () => {
    const before = [scanned('a', 'file', { ino: 9, nlink: 2 })]
    const after = [...before, scanned('b', 'file', { ino: 9, nlink: 2 })]
    const changes = compareTrees(before, after, { isSameDirectory: false })
    assert.deepEqual(
      changes.map(({ type, path }) => `${type} ${path}`),
      ['file b'],
    )
  })
})
