import assert from 'node:assert/strict'
import fc from 'fast-check'
import { OciError } from './errors.ts'
import {
  familiarReference,
  formatReference,
  isTag,
  parseReference,
  withDigest,
} from './reference.ts'
import { digestOf } from './digest.ts'

const DIGEST = `sha256:${'a1'.repeat(32)}`

describe('parseReference', () => {
  const accepted: readonly (readonly [text: string, full: string, familiar: string])[] = [
    ['alpine', 'docker.io/library/alpine:latest', 'alpine:latest'],
    ['alpine:3.20', 'docker.io/library/alpine:3.20', 'alpine:3.20'],
    ['grafana/grafana', 'docker.io/grafana/grafana:latest', 'grafana/grafana:latest'],
    ['docker.io/alpine', 'docker.io/library/alpine:latest', 'alpine:latest'],
    ['index.docker.io/alpine', 'docker.io/library/alpine:latest', 'alpine:latest'],
    ['docker.io/library/a/b', 'docker.io/library/a/b:latest', 'library/a/b:latest'],
    ['localhost/app', 'localhost/app:latest', 'localhost/app:latest'],
    ['localhost:5000/app:v1', 'localhost:5000/app:v1', 'localhost:5000/app:v1'],
    ['127.0.0.1:5000/a/b/c', '127.0.0.1:5000/a/b/c:latest', '127.0.0.1:5000/a/b/c:latest'],
    ['[::1]:5000/app', '[::1]:5000/app:latest', '[::1]:5000/app:latest'],
    [
      'harbor.example.com/project/team/app:1',
      'harbor.example.com/project/team/app:1',
      'harbor.example.com/project/team/app:1',
    ],
    ['Registry/app', 'Registry/app:latest', 'Registry/app:latest'],
    ['foo:5000', 'docker.io/library/foo:5000', 'foo:5000'],
    [`alpine@${DIGEST}`, `docker.io/library/alpine@${DIGEST}`, `alpine@${DIGEST}`],
    [`alpine:3@${DIGEST}`, `docker.io/library/alpine:3@${DIGEST}`, `alpine:3@${DIGEST}`],
    ['a__b--c.d', 'docker.io/library/a__b--c.d:latest', 'a__b--c.d:latest'],
  ]
  for (const [text, full, familiar] of accepted) {
    it(`reads ${text.replace(DIGEST, 'DIGEST')}`, () => {
      const reference = parseReference(text)
      assert.equal(formatReference(reference), full)
      assert.equal(familiarReference(reference), familiar)
    })
  }

  const refused: readonly (readonly [text: string, reason: RegExp])[] = [
    ['', /it is empty/],
    ['a'.repeat(64), /image id/],
    ['Alpine', /must be lower case/],
    ['foo/Bar', /must be lower case/],
    ['a//b', /empty part/],
    ['a/', /empty part/],
    ['-a', /is not a repository name/],
    ['a___b', /is not a repository name/],
    ['a:', /tag after the colon is missing/],
    ['a:.b', /is not a tag/],
    [`a:${'x'.repeat(129)}`, /longer than 128/],
    ['a@sha256:abc', /is not a digest/],
    [`a@sha512:${'a'.repeat(128)}`, /only sha256/],
    [`a@${DIGEST}@${DIGEST}`, /is not a digest/],
    ['https://host/app', /without http/],
    ['host.example:99999/app', /port 99999/],
    ['host_name.example/app', /is not a host name/],
    ['a b', /is not a repository name/],
    ['../../etc/passwd', /is not a host name|is not a repository name/],
    [`${'a/'.repeat(200)}b`, /longer than 255/],
  ]
  for (const [text, reason] of refused) {
    it(`refuses ${JSON.stringify(text.slice(0, 40))} and says why`, () => {
      assert.throws(
        () => parseReference(text),
        (error) => {
          assert.ok(error instanceof OciError)
          assert.equal(error.code, 'bad-reference')
          assert.match(error.message, reason)
          return true
        },
      )
    })
  }

  it('either refuses a text with bad-reference or reads it so that its full form reads the same', () => {
    const character = fc.constantFrom(
      ...'aZ09._-/:@[]%\\ \n'.split(''),
      'sha256:',
      DIGEST,
      'localhost',
    )
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: character })), (text) => {
        try {
          const reference = parseReference(text)
          assert.deepEqual(parseReference(formatReference(reference)), reference)
          assert.deepEqual(parseReference(familiarReference(reference)), reference)
          // Both become parts of URLs and paths.
          assert.doesNotMatch(reference.repository, /\.\.|[^a-z0-9._/-]/)
          assert.doesNotMatch(reference.tag ?? 'latest', /^\.|[^A-Za-z0-9._-]/)
        } catch (error) {
          assert.ok(error instanceof OciError, String(error))
        }
      }),
      { numRuns: 2000 },
    )
  })
})

describe('withDigest', () => {
  it('keeps the tag for display', () => {
    const digest = digestOf('x')
    assert.equal(
      familiarReference(withDigest(parseReference('app:v1'), digest)),
      `app:v1@${digest}`,
    )
  })
})

describe('isTag', () => {
  it('refuses what could be a path', () => {
    assert.equal(isTag('v1.0_x'), true)
    assert.equal(isTag('../x'), false)
    assert.equal(isTag(''), false)
  })
})
