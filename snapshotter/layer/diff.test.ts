import assert from 'node:assert/strict'
import type { ScannedEntry } from '../native/kernel-types.ts'
import type { DiffEntry } from '../snapshotter.ts'
import { scanned } from '../testing/entries.ts'
import { overlayDiff } from './diff.ts'

function summary(entries: readonly DiffEntry[]): string[] {
  return entries.map((entry) => `${entry.type} ${entry.path}`)
}

const opaqueMark = [{ name: 'trusted.overlay.opaque', value: Buffer.from('y') }]

describe('diff of an overlay upper directory', () => {
  it('reads devices 0/0 as whiteouts and leaves other devices', () => {
    const upper = [
      scanned('a', 'char', { major: 0, minor: 0, nlink: 2, ino: 7 }),
      scanned('b', 'char', { major: 0, minor: 0, nlink: 2, ino: 7 }),
      scanned('null', 'char', { major: 1, minor: 3 }),
    ]
    assert.deepEqual(summary(overlayDiff(upper)), ['whiteout a', 'whiteout b', 'char null'])
  })

  it('marks opaque directories of either namespace, and only those', () => {
    const user = [{ name: 'user.overlay.opaque', value: Buffer.from('y') }]
    const other = [{ name: 'trusted.overlay.opaque', value: Buffer.from('x') }]
    const upper = [
      scanned('a', 'dir', { xattrs: opaqueMark }),
      scanned('b', 'dir', { xattrs: user }),
      scanned('c', 'dir', { xattrs: other }),
    ]
    const entries = overlayDiff(upper)
    assert.deepEqual(summary(entries), ['dir a', 'opaque a', 'dir b', 'opaque b', 'dir c'])
    assert.ok(entries.every((entry) => !('xattrs' in entry)))
  })

  it('keeps names of one file together as hardlinks to the first', () => {
    const names = ['a', 'b', 'd/c'].map((path) => scanned(path, 'file', { ino: 5, nlink: 3 }))
    const links = overlayDiff(names).map((entry) =>
      entry.type === 'hardlink' ? entry.target : entry.type,
    )
    assert.deepEqual(links, ['file', 'a', 'a'])
  })

  it('skips sockets', () => {
    assert.deepEqual(overlayDiff([scanned('run/s', 'socket')]), [])
  })

  it('refuses names that readers would take for whiteouts', () => {
    assert.throws(() => overlayDiff([scanned('d/.wh.x')]), {
      code: 'diff-name-reserved',
      path: 'd/.wh.x',
    })
  })

  it('refuses an upper directory that is no plain diff', () => {
    for (const name of ['trusted.overlay.redirect', 'user.overlay.metacopy']) {
      const upper = [scanned('a', 'dir', { xattrs: [{ name, value: Buffer.from('/b') }] })]
      assert.throws(() => overlayDiff(upper), { code: 'diff-not-plain' })
    }
  })

  it('keeps of the extended attributes what belongs into a layer', () => {
    const capability = Buffer.from(
      '000000020020000000000000000000000000000000000000'.slice(0, 40),
      'hex',
    )
    const xattrs: ScannedEntry['xattrs'] = [
      { name: 'security.capability', value: capability },
      { name: 'security.selinux', value: Buffer.from('x') },
      { name: 'system.posix_acl_access', value: Buffer.from('x') },
      { name: 'trusted.overlay.origin', value: Buffer.from('x') },
      { name: 'user.note', value: Buffer.from([0, 255]) },
    ]
    const [entry] = overlayDiff([scanned('ping', 'file', { xattrs })])
    assert.ok(entry !== undefined && 'xattrs' in entry)
    assert.deepEqual(
      entry.xattrs?.map(({ name }) => name),
      ['security.capability', 'user.note'],
    )
  })

  // A file capability set in a user namespace is stored with that namespace's root; runtimes want version 2.
  it('writes a capability of a user namespace as version 2', () => {
    const version3 = Buffer.from('010000030004000000000000000000000000000040420f00', 'hex')
    const xattrs = [{ name: 'security.capability', value: version3 }]
    const [entry] = overlayDiff([scanned('ping', 'file', { xattrs })])
    assert.ok(entry !== undefined && 'xattrs' in entry)
    const value = Buffer.from(entry.xattrs?.[0]?.value ?? [])
    assert.equal(value.toString('hex'), '0100000200040000000000000000000000000000')
  })
})
