import assert from 'node:assert/strict'
import { parseGitUrl } from './git-url.ts'

const fieldsOf = (text: string): unknown => {
  const git = parseGitUrl(text)
  if (git === undefined || 'fault' in git) return git
  const entries = Object.entries(git).filter(([, value]) => value !== undefined && value !== false)
  return Object.fromEntries(entries)
}

describe('parseGitUrl', () => {
  it('knows the schemes of git, and http(s) only with .git', () => {
    assert.deepEqual(fieldsOf('https://h/r.git'), { remote: 'https://h/r.git' })
    assert.deepEqual(fieldsOf('git://h/r'), { remote: 'git://h/r' })
    assert.deepEqual(fieldsOf('ssh://u@h:22/r'), { remote: 'ssh://u@h:22/r' })
    assert.deepEqual(fieldsOf('git@h:a/r.git'), { remote: 'git@h:a/r.git' })
    for (const text of [
      'https://h/r',
      'https://h/r.git/x',
      'ftp://h/r.git',
      './r.git',
      'a/b',
      'x',
    ]) {
      assert.equal(fieldsOf(text), undefined)
    }
  })

  it('reads ref and directory from the fragment', () => {
    const remote = 'https://h/r.git'
    assert.deepEqual(fieldsOf(`${remote}#v1`), { remote, ref: 'v1' })
    assert.deepEqual(fieldsOf(`${remote}#:a/../b/`), { remote, subdir: 'b' })
    assert.deepEqual(fieldsOf('git@h:r#x/y:../z'), { remote: 'git@h:r', ref: 'x/y', subdir: 'z' })
  })

  it('reads the query', () => {
    assert.deepEqual(
      fieldsOf('https://h/r.git?branch=b&subdir=d&checksum=ab&submodules=0&keep-git-dir'),
      {
        remote: 'https://h/r.git',
        ref: 'refs/heads/b',
        subdir: 'd',
        checksum: 'ab',
        keepGitDir: true,
      },
    )
    assert.deepEqual(fieldsOf('https://h/r.git?tag=refs/tags/t#refs/tags/t'), {
      remote: 'https://h/r.git',
      ref: 'refs/tags/t',
    })
  })

  it('refuses what contradicts itself or is not known', () => {
    const fault = (query: string) => fieldsOf(`https://h/r.git?${query}`)
    assert.deepEqual(fault('x=1'), { fault: 'unexpected query "x"' })
    assert.deepEqual(fault('ref='), { fault: 'query "ref" has no value' })
    assert.deepEqual(fault('ref=a&ref=b'), { fault: 'query "ref" has multiple values' })
    assert.deepEqual(fault('tag=a&branch=b'), { fault: 'branch conflicts with tag' })
    assert.deepEqual(fault('ref=a#b'), { fault: 'ref conflicts: "b" vs "a"' })
    assert.deepEqual(fault('mtime=now'), {
      fault: 'invalid mtime value: "now" (must be "checkout" or "commit")',
    })
  })

  it('tells a name without scheme from a source for ADD', () => {
    assert.deepEqual(fieldsOf('github.com/a/b#v1'), {
      remote: 'github.com/a/b',
      ref: 'v1',
      looksLocal: true,
    })
  })
})
