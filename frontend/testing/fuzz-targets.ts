import assert from 'node:assert/strict'
import fc from 'fast-check'
import { convert } from '../convert.ts'
import { describeErrors } from '../describe-errors.ts'
import { parseDockerfile } from '../dockerfile.ts'
import { Environment } from '../environment.ts'
import { DockerfileErrors } from '../errors.ts'
import { ExpansionError } from '../expansion-error.ts'
import { parseGitUrl } from '../git-url.ts'
import { parseImageReference } from '../image-reference.ts'
import { expandWord } from '../words.ts'
import { fakeResolver, optionsWith } from './convert-text.ts'
import { generatedDockerfile } from './dockerfile-generator.ts'

/** Something that is to hold for any input; `.ci/fuzz.mjs` tries it for as long as it is told to. */
export interface FuzzTarget {
  readonly name: string
  /** Throws what fast-check reports when it does not hold. */
  run(seed: number, runs: number): Promise<void>
}

function target<T>(
  name: string,
  arbitrary: fc.Arbitrary<T>,
  check: (value: T) => Promise<void> | void,
): FuzzTarget {
  const property = fc.asyncProperty(arbitrary, async (value) => {
    const startMs = performance.now()
    await check(value)
    // Inputs are small: whatever takes longer does not grow in proportion.
    assert.ok(performance.now() - startMs < 2000, 'took more than two seconds')
  })
  return { name, run: (seed, runs) => fc.assert(property, { seed, numRuns: runs }) }
}

const OPTIONS = { name: 'Dockerfile' }
const never = new AbortController().signal

/** Whatever the text is: a graph, or errors that can be shown. */
async function survives(text: string): Promise<void> {
  try {
    await convert(parseDockerfile(text, OPTIONS), optionsWith(), fakeResolver(), never)
  } catch (error) {
    if (!(error instanceof DockerfileErrors)) throw error
    assert.ok(error.list.length > 0)
    assert.notEqual(await describeErrors(error), '')
  }
}

const snippet = fc.constantFrom(
  ...[
    'FROM ',
    'from a as b\n',
    'RUN ',
    'COPY ',
    'ADD ',
    'ENV ',
    'LABEL ',
    'ARG ',
    'ONBUILD ',
    'HEALTHCHECK ',
  ],
  ...[
    '--mount=',
    'type=cache,',
    '--from=',
    '--chmod=',
    'u=rwX',
    '--platform=',
    '<<EOF',
    '<<-"E"',
    'EOF\n',
    '\\\n',
  ],
  ...[
    '# escape=`\n',
    '# check=skip=all\n',
    '# syntax=docker/dockerfile:1\n',
    '#',
    '["',
    '"]',
    '${',
    '}',
    ':-',
    '//',
  ],
  ...[
    '$x',
    '"',
    "'",
    '`',
    '\\',
    '\n',
    '\r\n',
    '\t',
    ' ',
    '=',
    ',',
    '/',
    '*',
    '80/tcp',
    '1000',
    'NONE',
    'CMD ',
    '\0',
  ],
)
const soup = fc.array(
  fc.oneof({ weight: 4, arbitrary: snippet }, fc.string({ unit: 'binary', maxLength: 4 })),
  {
    maxLength: 40,
  },
)

const wordPiece = fc.oneof(
  fc.constantFrom(
    '$',
    '{',
    '}',
    ':',
    '-',
    '+',
    '?',
    '#',
    '%',
    '/',
    '\\',
    '"',
    "'",
    'A',
    'B',
    '*',
    ' ',
    '`',
    'é',
    '0',
  ),
  fc.constantFrom('${A', '${B:-', '${C#', '${A//', '${A%%*', '$A', '\\}', '${A/?/'),
  fc.string({ unit: 'binary', maxLength: 2 }),
)
const word = fc.array(wordPiece, { maxLength: 30 }).map((pieces) => pieces.join(''))
const wordOptions = fc.record(
  {
    keepsQuotes: fc.boolean(),
    keepsEscapes: fc.boolean(),
    ignoresQuotes: fc.boolean(),
    keepsUnset: fc.boolean(),
  },
  { requiredKeys: [] },
)

function expandsOrRefuses([text, options, token, a]: readonly [
  string,
  object,
  '\\' | '`',
  string,
]): void {
  const variables = new Environment([
    ['A', a],
    ['B', ''],
  ])
  try {
    const { words } = expandWord(text, variables, { escape: token, ...options })
    assert.ok(words.every((one) => one !== ''))
  } catch (error) {
    if (!(error instanceof ExpansionError)) throw error
  }
}

const urlPiece = fc.oneof(
  fc.constantFrom(
    'https://',
    'git@',
    'ssh://',
    'git://',
    'github.com/',
    'h',
    ':',
    '/',
    '.git',
    '#',
    '?',
    '&',
    '=',
    '%',
  ),
  fc.constantFrom(
    'ref',
    'tag=v1',
    'branch=',
    'subdir',
    'checksum',
    'submodules',
    'mtime=commit',
    '..',
    '@',
    '%zz',
    '+',
  ),
  fc.string({ unit: 'binary', maxLength: 2 }),
)

function readsGitUrl(text: string): void {
  const source = parseGitUrl(text)
  if (source === undefined || 'fault' in source) return
  assert.doesNotMatch(source.remote, /[?#]/)
  const again = parseGitUrl(source.remote)
  assert.ok(again !== undefined && !('fault' in again))
  assert.equal(again.remote, source.remote)
  assert.equal(again.ref, undefined)
}

/** Everything of this folder that reads what somebody else wrote. */
export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  target(
    'Dockerfile, printed and read',
    generatedDockerfile,
    ({ text, escape: token, expected }) => {
      const parsed = parseDockerfile(text, OPTIONS)
      assert.equal(parsed.escape, token)
      const read = parsed.stages.flatMap(({ from, commands }) => [from, ...commands])
      assert.deepEqual(
        read.map((one, index) => pick(one, expected[index] ?? {})),
        expected,
      )
    },
  ),
  target(
    'Dockerfile, damaged',
    fc.tuple(generatedDockerfile, fc.nat(), fc.nat(9), soup),
    ([{ text }, at, length, put]) => {
      const start = at % (text.length + 1)
      return survives(text.slice(0, start) + put.join('') + text.slice(start + length))
    },
  ),
  target('Dockerfile, pieces', soup, (pieces) => survives(`FROM a\n${pieces.join('')}`)),
  target('Dockerfile, any text', fc.string({ unit: 'binary', maxLength: 300 }), survives),
  target('Dockerfile, any bytes', fc.uint8Array({ maxLength: 300 }), (bytes) =>
    survives(Buffer.from(bytes).toString('utf8')),
  ),
  target(
    'word expansion',
    fc.tuple(word, wordOptions, fc.constantFrom('\\', '`'), fc.string({ maxLength: 20 })),
    expandsOrRefuses,
  ),
  target(
    'git URL',
    fc.array(urlPiece, { maxLength: 14 }).map((pieces) => pieces.join('')),
    readsGitUrl,
  ),
  target('image reference', fc.oneof(word, fc.string()), (text) => {
    const reference = parseImageReference(text)
    if ('fault' in reference) assert.notEqual(reference.fault, '')
  }),
]

function pick(from: object, like: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(from).filter(([name]) => Object.hasOwn(like, name))
  return Object.fromEntries(entries)
}
