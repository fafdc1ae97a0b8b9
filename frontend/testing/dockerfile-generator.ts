import fc from 'fast-check'
import type { EscapeToken } from '../words.ts'

/** A valid Dockerfile, printed in one of many ways, and what has to be read out of it. */
export interface GeneratedDockerfile {
  readonly text: string
  readonly escape: EscapeToken
  /** Of each instruction the fields that do not depend on the layout, in the order of the file. */
  readonly expected: readonly Readonly<Record<string, unknown>>[]
}

/** An instruction before it is laid out: `words` stand between blanks, `read` gets them with the blanks as they were put. */
interface Draft {
  readonly name: string
  readonly flags: readonly string[]
  readonly words: readonly string[]
  /** Heredoc bodies, terminators included. */
  readonly tail: string
  readonly read: (rest: string) => Readonly<Record<string, unknown>>
}

const bare = fc.constantFrom(
  'a',
  'b.c',
  '/x',
  './y/',
  '*.ts',
  'café',
  '$A',
  '${A:-b}',
  '日本',
  '1:2',
  '@',
  '%20',
)
const key = fc.constantFrom('A', 'b', 'c.d', 'x-y', '_1')
const quoted = fc.constantFrom('"q r"', "'s  t'", '"$x"', '""', 'p"q r"s', '"# no comment"')
const value = fc.oneof(bare, quoted)
const shellWord = fc.constantFrom(
  'echo',
  '&&',
  '|',
  '"$x"',
  "'<a'",
  '{',
  'a#b',
  ';',
  '--flag',
  '>/dev/null',
  '\\n',
  '$(id)',
)
const jsonArgs = fc.array(fc.string({ unit: 'grapheme', maxLength: 5 }), {
  minLength: 1,
  maxLength: 4,
})

function plain(
  name: string,
  words: fc.Arbitrary<string[]>,
  read: (words: readonly string[]) => Record<string, unknown>,
): fc.Arbitrary<Draft> {
  return words.map((list) => ({ name, flags: [], words: list, tail: '', read: () => read(list) }))
}

const from = fc
  .record({
    base: fc.constantFrom(
      'scratch',
      'alpine',
      'a/b:1',
      '${A:-x}',
      `localhost:5000/x@sha256:${'0'.repeat(64)}`,
    ),
    stageName: fc.option(fc.constantFrom('one', 'Two', 'x-1_y.z'), { nil: '' }),
    platform: fc.option(fc.constantFrom('linux/amd64', '$BUILDPLATFORM'), { nil: undefined }),
    as: fc.constantFrom('AS', 'as'),
  })
  .map(
    ({ base, stageName, platform, as }): Draft => ({
      name: 'FROM',
      flags: platform === undefined ? [] : [`--platform=${platform}`],
      words: stageName === '' ? [base] : [base, as, stageName],
      tail: '',
      read: () => ({ kind: 'from', base, stageName: stageName.toLowerCase(), platform }),
    }),
  )

const pairs = fc.constantFrom('ENV', 'LABEL').chain((name) =>
  fc
    .array(fc.record({ key, value }, { noNullPrototype: true }), { minLength: 1, maxLength: 4 })
    .map(
      (list): Draft => ({
        name,
        flags: [],
        words: list.map((pair) => `${pair.key}=${pair.value}`),
        tail: '',
        read: () => ({ kind: name.toLowerCase(), pairs: list, isLegacyForm: false }),
      }),
    ),
)

const arg = fc
  .array(fc.record({ key, value: fc.option(value, { nil: undefined }) }), {
    minLength: 1,
    maxLength: 3,
  })
  .map(
    (list): Draft => ({
      name: 'ARG',
      flags: [],
      words: list.map((one) => (one.value === undefined ? one.key : `${one.key}=${one.value}`)),
      tail: '',
      read: () => ({ kind: 'arg' }),
    }),
  )

const shellForm = fc
  .record({
    name: fc.constantFrom('RUN', 'CMD', 'ENTRYPOINT'),
    words: fc.array(shellWord, { minLength: 1, maxLength: 6 }),
  })
  // A first word that begins with dashes is a flag.
  .map(
    ({ name, words }): Draft => ({
      name,
      flags: [],
      words: ['run', ...words],
      tail: '',
      read: (rest) => ({
        kind: name.toLowerCase(),
        command: { args: [rest], isShellForm: true, heredocs: [] },
      }),
    }),
  )

const execForm = fc
  .record({ name: fc.constantFrom('RUN', 'CMD', 'ENTRYPOINT'), args: jsonArgs })
  .map(
    ({ name, args }): Draft => ({
      name,
      flags: [],
      words: [JSON.stringify(args)],
      tail: '',
      read: () => ({
        kind: name.toLowerCase(),
        command: { args, isShellForm: false, heredocs: [] },
      }),
    }),
  )

const bodyLine = fc.constantFrom('echo a', '  $x ', '# kept', 'FROM y', '', 'a \\', '\tb', '"')

const heredoc = fc
  .record({
    name: fc.constantFrom('RUN', 'COPY', 'ADD'),
    delimiter: fc.constantFrom('EOF', '"EOF"', "'E'OF", '-EOF'),
    lines: fc.array(bodyLine, { maxLength: 4 }),
  })
  .map(({ name, delimiter, lines }): Draft => {
    const content = lines.map((line) => `${line}\n`).join('')
    const isChomped = delimiter.startsWith('-')
    const isExpanded = !/['"]/.test(delimiter)
    const words = name === 'RUN' ? [`<<${delimiter}`] : [`<<${delimiter}`, '/dest/']
    const file = {
      name: 'EOF',
      content: isChomped ? content.replace(/^\t+/gm, '') : content,
      isExpanded,
    }
    return {
      name,
      flags: [],
      words,
      tail: `${content}EOF\n`,
      read: () =>
        name === 'RUN'
          ? { kind: 'run' }
          : { kind: name.toLowerCase(), inlineFiles: [file], sources: [], dest: '/dest/' },
    }
  })

const copy = fc
  .record({
    sources: fc.array(bare, { minLength: 1, maxLength: 3 }),
    dest: bare,
    chown: fc.constantFrom('', 'app', '1:2'),
    link: fc.boolean(),
    exclude: fc.array(fc.constantFrom('*.md', '!x'), { maxLength: 2 }),
    isJson: fc.boolean(),
  })
  .map(
    ({ sources, dest, chown, link, exclude, isJson }): Draft => ({
      name: 'COPY',
      flags: [
        ...(chown === '' ? [] : [`--chown=${chown}`]),
        ...(link ? ['--link'] : []),
        ...exclude.map((pattern) => `--exclude=${pattern}`),
      ],
      words: isJson ? [JSON.stringify([...sources, dest])] : [...sources, dest],
      tail: '',
      read: () => ({ kind: 'copy', sources, dest, chown, link, exclude }),
    }),
  )

const command = fc.oneof(
  pairs,
  arg,
  shellForm,
  execForm,
  heredoc,
  copy,
  plain('USER', fc.tuple(bare), ([value]) => ({ kind: 'user', value })),
  plain('WORKDIR', fc.tuple(bare), ([value]) => ({ kind: 'workdir', value })),
  plain(
    'EXPOSE',
    fc.array(fc.constantFrom('80', '90/udp', '1-3'), { minLength: 1, maxLength: 3 }),
    (words) => ({
      kind: 'expose',
      values: words.toSorted(),
    }),
  ),
  plain('VOLUME', fc.array(bare, { minLength: 1, maxLength: 3 }), (values) => ({
    kind: 'volume',
    values,
  })),
)

const stage = fc
  .tuple(from, fc.array(command, { maxLength: 8 }))
  .map(([first, rest]) => [first, ...rest])
const casing = fc.constantFrom<(name: string) => string>(
  (name) => name,
  (name) => name.toLowerCase(),
  (name) => name.charAt(0) + name.slice(1).toLowerCase(),
)

/** What stands between words: the text, with `\` for the escape character, and what it counts as. */
const gap = fc.constantFrom(
  { printed: ' ', logical: ' ' },
  { printed: ' ', logical: ' ' },
  { printed: '\t ', logical: '\t ' },
  { printed: ' \\\n  ', logical: '   ' },
  { printed: ' \\ \t\r\n\t', logical: ' \t' },
  { printed: ' \\\n# a comment\n\n \\\n', logical: '  ' },
)
const above = fc.constantFrom('', '', '\n', '# a comment\n', '  # check=skip=all\n', '\r\n')

/** Dockerfiles that are read without an error. */
export const generatedDockerfile: fc.Arbitrary<GeneratedDockerfile> = fc
  .record({
    drafts: fc.array(stage, { minLength: 1, maxLength: 3 }).map((stages) => stages.flat()),
    gaps: fc.array(gap, { minLength: 1, maxLength: 20 }),
    casings: fc.array(casing, { minLength: 1, maxLength: 5 }),
    above: fc.array(above, { minLength: 1, maxLength: 5 }),
    escape: fc.constantFrom<EscapeToken>('\\', '`'),
    ending: fc.constantFrom('\n', '\r\n'),
  })
  .map(({ drafts, gaps, casings, above, escape: token, ending }) => {
    const nextGap = cycle(gaps)
    const lines: string[] = token === '`' ? ['# escape=`\n\n'] : ['\n']
    const expected: Readonly<Record<string, unknown>>[] = []
    drafts.forEach((draft, index) => {
      const name = (casings[index % casings.length] ?? String)(draft.name)
      const head: string[] = [name]
      for (const flag of draft.flags) head.push(inEscape(nextGap().printed, token), flag)
      const rest = layOut(draft.words, nextGap, token)
      head.push(inEscape(nextGap().printed, token), rest.printed)
      lines.push(above[index % above.length] ?? '', `${head.join('')}${ending}${draft.tail}`)
      expected.push(draft.read(rest.logical))
    })
    return { text: lines.join(''), escape: token, expected }
  })

function layOut(
  words: readonly string[],
  nextGap: () => { readonly printed: string; readonly logical: string },
  token: EscapeToken,
): { readonly printed: string; readonly logical: string } {
  let printed = ''
  let logical = ''
  for (const [index, word] of words.entries()) {
    const between = index === 0 ? { printed: '', logical: '' } : nextGap()
    printed += inEscape(between.printed, token) + word
    logical += between.logical + word
  }
  return { printed, logical }
}

function inEscape(printed: string, token: EscapeToken): string {
  return printed.replaceAll('\\', token)
}

function cycle<T>(items: readonly T[]): () => T {
  let at = 0
  return () => {
    const item = items[at % items.length]
    at += 1
    if (item === undefined) throw new TypeError('nothing to choose from')
    return item
  }
}
