import assert from 'node:assert/strict'
import { contextName, formatImageReference, parseImageReference } from './image-reference.ts'

function both(text: string): readonly [string, string] | string {
  const reference = parseImageReference(text)
  if ('fault' in reference) return reference.fault
  return [formatImageReference(reference), contextName(reference)]
}

const HEX = 'a'.repeat(64)

describe('parseImageReference', () => {
  it('completes short names', () => {
    assert.deepEqual(both('alpine'), ['docker.io/library/alpine:latest', 'alpine'])
    assert.deepEqual(both('a/b:1'), ['docker.io/a/b:1', 'a/b:1'])
    assert.deepEqual(both('index.docker.io/x'), ['docker.io/library/x:latest', 'x'])
    assert.deepEqual(both('localhost/x'), ['localhost/x:latest', 'localhost/x'])
    assert.deepEqual(both('h:5000/a/b/c:latest'), ['h:5000/a/b/c:latest', 'h:5000/a/b/c'])
    assert.deepEqual(both('[::1]:5000/x'), ['[::1]:5000/x:latest', '[::1]:5000/x'])
  })

  it('keeps digests, also beside a tag', () => {
    assert.deepEqual(both(`x:1@sha256:${HEX}`), [
      `docker.io/library/x:1@sha256:${HEX}`,
      `x:1@sha256:${HEX}`,
    ])
    assert.equal(both(`x@sha256:${HEX}`)[0], `docker.io/library/x@sha256:${HEX}`)
  })

  it('knows the algorithms of digests and how many digits they have', () => {
    assert.equal(both(`x@sha256:${HEX.slice(1)}`), 'invalid checksum digest length')
    assert.equal(both(`x@sha512:${HEX}`), 'invalid checksum digest length')
    assert.equal(both(`x@sha256:${HEX.toUpperCase()}`), 'invalid checksum digest format')
    assert.equal(both(`x@md5:${HEX}`), 'unsupported digest algorithm')
  })

  it('refuses what no registry could hold', () => {
    assert.match(String(both('A')), /repository name \(library\/A\) must be lowercase/)
    assert.match(String(both(HEX)), /cannot specify 64-byte hexadecimal strings/)
    for (const text of [
      '',
      'a:',
      'a@b',
      'a b',
      'a//b',
      '-a',
      'a:b:c',
      'a_-b',
      'h:x/a',
      `x@sha256:ab`,
    ]) {
      assert.equal(both(text), 'invalid reference format', text)
    }
  })
})
