import assert from 'node:assert/strict'
import fc from 'fast-check'
import { compileSegment, expandPattern } from '../../ops/match.ts'
import { ContextError } from '../errors.ts'
import { compileMatcher, parseIgnoreFile } from '../ignore.ts'

/** As the targets of the frontend: `.ci/fuzz.mjs` tries each for as long as it is told to. */
export interface FuzzTarget {
  readonly name: string
  run(seed: number, runs: number): Promise<void>
}

const piece = fc.oneof(
  fc.constantFrom(
    '*',
    '**',
    '?',
    '/',
    '[',
    ']',
    '^',
    '-',
    '!',
    '\\',
    'a',
    'b',
    '.',
    '..',
    '#',
    ' ',
    '$',
    '(',
    '{',
    '+',
  ),
  fc.constantFrom(
    '**/',
    '/**',
    '[a-z]',
    '[^a]',
    '*a',
    '[[:alpha:]]',
    '\\d',
    '\\b',
    '*?',
    '日',
    '\n',
    '[:',
  ),
  fc.string({ unit: 'binary', maxLength: 2 }),
)
const pattern = fc.array(piece, { maxLength: 25 }).map((pieces) => pieces.join(''))
const name = fc
  .array(
    fc.oneof(
      fc.constantFrom('a', 'b', '.', '-', '日', '𠀋'),
      fc.string({ unit: 'binary', maxLength: 1 }),
    ),
    {
      minLength: 1,
      maxLength: 30,
    },
  )
  .map((chars) => chars.join('').replaceAll('/', 'a'))
const path = fc.array(name, { minLength: 1, maxLength: 6 }).map((names) => names.join('/'))

function target<T>(
  label: string,
  arbitrary: fc.Arbitrary<T>,
  check: (value: T) => Promise<void> | void,
): FuzzTarget {
  const property = fc.asyncProperty(arbitrary, async (value) => {
    const startMs = performance.now()
    try {
      await check(value)
    } catch (error) {
      if (!(error instanceof ContextError && error.code === 'bad-pattern')) throw error
    }
    assert.ok(performance.now() - startMs < 2000, 'took more than two seconds')
  })
  return { name: label, run: (seed, runs) => fc.assert(property, { seed, numRuns: runs }) }
}

/** Patterns and the names they are held against. */
export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  target('ignore file', fc.tuple(fc.array(pattern, { maxLength: 6 }), path), ([lines, tried]) => {
    const matcher = compileMatcher(parseIgnoreFile(lines.join('\n')))
    const isMatch = matcher.isMatch(tried)
    assert.equal(matcher.isMatch(tried), isMatch)
    if (!matcher.hasExceptions && isMatch) assert.ok(matcher.isMatch(`${tried}/below`))
  }),
  target(
    'exclude patterns',
    fc.tuple(fc.array(pattern, { maxLength: 4 }), path),
    ([patterns, tried]) => {
      compileMatcher(patterns).isMatch(tried)
    },
  ),
  target('source pattern of COPY', fc.tuple(pattern, name), async ([text, tried]) => {
    const isMatch = compileSegment(text)(tried)
    const entry = {
      type: 'symlink',
      path: tried,
      mode: 0o777,
      uid: 0,
      gid: 0,
      mtimeSec: 0,
      target: 'x',
    } as const
    const found = await expandPattern({ list: () => Promise.resolve([entry]) }, '', [text])
    assert.deepEqual(found, isMatch ? [tried] : [])
  }),
]
