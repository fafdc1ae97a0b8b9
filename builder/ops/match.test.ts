import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ContextError } from '../context/errors.ts'
import { MemoryTree } from './testing/memory-tree.ts'
import { compileSegment, expandPattern, hasWildcard, splitPattern } from './match.ts'

describe('hasWildcard', () => {
  it('sees unescaped *, ? and [', () => {
    assert.deepEqual(['a', 'a\\*', 'a\\\\*', '?', '[', 'a]', '\\', '\\[a*'].filter(hasWildcard), [
      'a\\\\*',
      '?',
      '[',
      '\\[a*',
    ])
  })
})

describe('compileSegment', () => {
  const cases: readonly [string, string, boolean][] = [
    ['*', '', true],
    ['*', '.hidden', true],
    ['*.txt', 'a.txt', true],
    ['*.txt', '.txt', true],
    ['*.txt', 'a.txt.x', false],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-b-b-', false],
    ['?', '𠀋', true],
    ['a?c', 'ac', false],
    ['[a-c]x', 'bx', true],
    ['[^a-c]x', 'bx', false],
    ['[^a-c]x', 'dx', true],
    ['[\\]]', ']', true],
    ['[\\-z]', '-', true],
    ['[z-a]', 'b', false],
    ['[*]', '*', true],
    ['a\\*', 'a*', true],
    ['a\\*', 'ab', false],
    ['a]', 'a]', true],
  ]
  for (const [pattern, name, expected] of cases) {
    it(`${pattern} ${expected ? 'matches' : 'does not match'} ${JSON.stringify(name)}`, () => {
      assert.equal(compileSegment(pattern)(name), expected)
    })
  }

  for (const pattern of [
    '[',
    'a[',
    '[]',
    '[^]',
    '[]a]',
    '[a-',
    '[a-]',
    '[-a]',
    '[a',
    '\\',
    'a\\',
    '[\\',
  ]) {
    it(`refuses ${pattern}`, () => {
      assert.throws(() => compileSegment(pattern), ContextError)
    })
  }

  it('agrees with a matcher that tries everything', () => {
    const text = (alphabet: string): fc.Arbitrary<string> =>
      fc.array(fc.constantFrom(...alphabet), { maxLength: 8 }).map((chars) => chars.join(''))
    fc.assert(
      fc.property(text('ab*?'), text('ab'), (pattern, name) => {
        assert.equal(compileSegment(pattern)(name), slowMatch(pattern, name))
      }),
      { numRuns: 3000 },
    )
  })

  it('takes no exponential time', () => {
    assert.equal(compileSegment(`${'*a'.repeat(200)}b`)('a'.repeat(2000)), false)
  })
})

function slowMatch(pattern: string, name: string): boolean {
  if (pattern === '') {
    return name === ''
  }
  const rest = pattern.slice(1)
  if (pattern.startsWith('*')) {
    return slowMatch(rest, name) || (name !== '' && slowMatch(pattern, name.slice(1)))
  }
  return (
    name !== '' && (pattern[0] === '?' || pattern[0] === name[0]) && slowMatch(rest, name.slice(1))
  )
}

describe('expandPattern', () => {
  it('matches component by component, without walking through symlinks', async () => {
    const tree = new MemoryTree({ 'a/f': '', 'b/f': '', 'b/g/f': '', f: '', l: '-> a', '.c/f': '' })
    const expand = (pattern: string): Promise<string[]> => {
      const { base, patterns } = splitPattern(pattern)
      return expandPattern(tree, base, patterns)
    }
    assert.deepEqual(await expand('*/f'), ['.c/f', 'a/f', 'b/f'])
    assert.deepEqual(await expand('b/*'), ['b/f', 'b/g'])
    assert.deepEqual(await expand('*'), ['.c', 'a', 'b', 'f', 'l'])
    assert.deepEqual(await expand('/../[ab]/g/f'), ['b/g/f'])
    assert.deepEqual(await expand('**'), ['.c', 'a', 'b', 'f', 'l'])
    assert.deepEqual(await expand('f/*'), [])
  })
})
