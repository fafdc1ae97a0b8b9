import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseChallenges } from './challenge.ts'

function plain(header: string): unknown {
  return parseChallenges(header).map(({ scheme, parameters }) => [
    scheme,
    Object.fromEntries(parameters),
  ])
}

describe('parseChallenges', () => {
  it('reads a bearer challenge with commas inside quotes', () => {
    const header =
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"'
    const parameters = {
      realm: 'https://auth.docker.io/token',
      service: 'registry.docker.io',
      scope: 'repository:a/b:pull,push',
    }
    assert.deepEqual(plain(header), [['bearer', parameters]])
  })

  it('reads several challenges of one header', () => {
    assert.deepEqual(plain('Negotiate, Basic realm="x", BEARER Realm="y" , error=invalid_token'), [
      ['negotiate', {}],
      ['basic', { realm: 'x' }],
      ['bearer', { realm: 'y', error: 'invalid_token' }],
    ])
  })

  it('skips the token68 of schemes that we do not speak', () => {
    assert.deepEqual(plain('Negotiate YWJjZA==, Basic realm="x"'), [
      ['negotiate', {}],
      ['basic', { realm: 'x' }],
    ])
  })

  it('undoes escapes inside quotes and takes blanks around the equals sign', () => {
    assert.deepEqual(plain('Basic realm = "a \\"b\\" c"'), [['basic', { realm: 'a "b" c' }]])
  })

  it('keeps the first of two values for one name', () => {
    assert.deepEqual(plain('Bearer realm="https://good",realm="https://evil"'), [
      ['bearer', { realm: 'https://good' }],
    ])
  })

  it('gives what came before the part that does not parse', () => {
    assert.deepEqual(plain('Basic realm="x", Bearer realm="unterminated'), [
      ['basic', { realm: 'x' }],
      ['bearer', {}],
    ])
    assert.deepEqual(plain(''), [])
    assert.deepEqual(plain('"'), [])
  })

  it('refuses huge headers, and answers in time whatever the text', () => {
    assert.deepEqual(parseChallenges(`Basic ${'a'.repeat(20_000)}`), [])
    const alphabet = fc.constantFrom(...'aB=", \\\t;:/'.split(''), 'Bearer ', 'realm="x"')
    fc.assert(
      fc.property(fc.string({ unit: alphabet, maxLength: 300 }), (text) => {
        for (const { scheme } of parseChallenges(text)) assert.match(scheme, /^[^\s",=]+$/)
      }),
      { numRuns: 2000 },
    )
  })

  it('reads back the parameters of any challenge it is given', () => {
    const name = fc.stringMatching(/^[a-z]{1,8}$/)
    const parameters = fc.dictionary(name, fc.string({ maxLength: 40 }), {
      minKeys: 1,
      maxKeys: 4,
      noNullPrototype: true,
    })
    fc.assert(
      fc.property(parameters, (expected) => {
        const text = Object.entries(expected).map(
          ([key, value]) => `${key}="${value.replaceAll(/["\\]/g, '\\$&')}"`,
        )
        assert.deepEqual(plain(`Bearer ${text.join(', ')}`), [['bearer', expected]])
      }),
    )
  })
})
