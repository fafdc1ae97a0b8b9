import assert from 'node:assert/strict'
import { dir, file, opaque, whiteout } from './entries.ts'
import { normalizeEntries } from './normalize.ts'

describe('entries of a tar as a table of contents', () => {
  it('lets a later entry of a path win', () => {
    const [entry, ...rest] = normalizeEntries([file('a', 'old'), file('a', 'newer')])
    assert.deepEqual([entry, rest], [file('a', 'newer'), []])
  })

  it('forgets what was in a directory that a later file replaces', () => {
    const entries = normalizeEntries([dir('a'), file('a/b'), file('a')])
    assert.deepEqual(entries, [file('a')])
  })

  it('keeps what comes after a file that was replaced by a directory', () => {
    const entries = normalizeEntries([file('a'), dir('a'), file('a/b')])
    assert.deepEqual(entries, [dir('a'), file('a/b')])
  })

  it('keeps an entry that was added after its whiteout in the same layer', () => {
    assert.deepEqual(normalizeEntries([file('a'), whiteout('a')]), [whiteout('a'), file('a')])
  })

  it('puts the opaque mark after its directory and before what is in it', () => {
    const entries = normalizeEntries([file('a/b'), opaque('a'), dir('a')])
    assert.deepEqual(entries, [dir('a'), opaque('a'), file('a/b')])
  })
})
