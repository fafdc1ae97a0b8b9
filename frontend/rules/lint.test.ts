import assert from 'node:assert/strict'
import type { ConvertOptions } from '../convert-options.ts'
import { check } from '../check.ts'
import { fakeResolver, faultsOf, optionsWith } from '../testing/convert-text.ts'
import type { Warning } from './rule.ts'

async function warningsOf(
  lines: readonly string[],
  changes: Partial<ConvertOptions> = {},
): Promise<readonly Warning[]> {
  const report = await check({
    text: `${lines.join('\n')}\n`,
    parseOptions: { name: 'Dockerfile' },
    options: optionsWith(changes),
    resolver: fakeResolver({
      images: {
        'docker.io/library/arm:latest': { os: 'linux', architecture: 'arm64', config: {} },
      },
    }),
    signal: new AbortController().signal,
  })
  assert.equal(report.error, undefined)
  return report.warnings
}

const rulesOf = async (
  lines: readonly string[],
  changes: Partial<ConvertOptions> = {},
): Promise<string[]> =>
  (await warningsOf(lines, changes)).map(({ rule, range }) => `${rule}:${range.startLine}`)

const details = async (...lines: string[]): Promise<string[]> =>
  (await warningsOf(lines)).map(({ detail }) => detail)

describe('lint rules', () => {
  it('look at the case of names and keywords', async () => {
    assert.deepEqual(await rulesOf(['FROM a as Base', 'From b as x', 'RUN x']), [
      'StageNameCasing:1',
      'FromAsCasing:1',
      'ConsistentInstructionCasing:2',
    ])
    assert.deepEqual(await details('from a', 'run b', 'RUN c'), [
      "Command 'RUN' should match the case of the command majority (lowercase)",
    ])
    assert.deepEqual(await rulesOf(['from a', 'RUN b']), ['ConsistentInstructionCasing:1'])
  })

  it('look at stage names', async () => {
    assert.deepEqual(await rulesOf(['FROM a AS x', 'FROM b AS x', 'FROM c AS context']), [
      'DuplicateStageName:2',
      'ReservedStageName:3',
    ])
  })

  it('find blank lines inside continued instructions', async () => {
    assert.deepEqual(await rulesOf(['FROM a', 'RUN b \\', '', '  c']), ['NoEmptyContinuation:4'])
  })

  it('recommend JSON unless the image names its own shell', async () => {
    assert.deepEqual(await rulesOf(['FROM a', 'CMD b', 'SHELL ["s"]', 'ENTRYPOINT c']), [
      'JSONArgsRecommended:2',
    ])
  })

  it('find deprecated forms', async () => {
    assert.deepEqual(await rulesOf(['FROM a', 'MAINTAINER m', 'ENV A b', 'LABEL c d']), [
      'MaintainerDeprecated:2',
      'LegacyKeyValueFormat:3',
      'LegacyKeyValueFormat:4',
    ])
  })

  it('find variables that nothing defines, and guess what was meant', async () => {
    const lines = [
      'ARG BASE=a',
      'FROM ${BASE}${BAS}',
      'ARG VERSION',
      'RUN x',
      'LABEL l=$VERSON m=$VERSION',
    ]
    assert.deepEqual(await details(...lines), [
      "FROM argument 'BAS' is not declared (did you mean BASE?)",
      "Usage of undefined variable '$VERSON'",
    ])
    assert.deepEqual(await details('FROM a', 'ENV VERSION=1', 'LABEL l=$VERSON'), [
      "Usage of undefined variable '$VERSON' (did you mean $VERSION?)",
    ])
  })

  it('look at the first WORKDIR of a chain of stages', async () => {
    const lines = [
      'FROM a AS x',
      'WORKDIR r',
      'WORKDIR s',
      'FROM x',
      'WORKDIR t',
      'FROM a',
      'WORKDIR u',
    ]
    assert.deepEqual(await rulesOf(lines), ['WorkdirRelativePath:2', 'WorkdirRelativePath:7'])
  })

  it('point to the instruction that is ignored', async () => {
    assert.deepEqual(await rulesOf(['FROM a', 'CMD ["b"]', 'CMD ["c"]', 'FROM a', 'CMD ["d"]']), [
      'MultipleInstructionsDisallowed:2',
    ])
  })

  it('look at platforms', async () => {
    const lines = [
      'FROM --platform=$TARGETPLATFORM a',
      'FROM --platform=linux/arm64 b',
      'FROM --platform=linux/arm64 b AS tool-arm64',
      'FROM arm',
    ]
    assert.deepEqual(await rulesOf(lines), [
      'RedundantTargetPlatform:1',
      'FromPlatformFlagConstDisallowed:2',
      'InvalidBaseImagePlatform:4',
    ])
  })

  it('find base names that the defaults leave invalid', async () => {
    const buildArgs = new Map([['TAG', '1']])
    assert.deepEqual(await rulesOf(['ARG TAG', 'FROM a:$TAG'], { buildArgs }), [
      'InvalidDefaultArgInFrom:2',
    ])
  })

  it('find names of secrets', async () => {
    const lines = ['FROM a', 'ARG API_KEY PUBLIC_KEY keyboard', 'ENV Password=x TOKEN_FILE=y']
    assert.deepEqual(await details(...lines), [
      'Do not use ARG or ENV instructions for sensitive data (ARG "API_KEY")',
      'Do not use ARG or ENV instructions for sensitive data (ENV "Password")',
    ])
  })

  it('look at ports', async () => {
    assert.deepEqual(await rulesOf(['FROM a', 'EXPOSE 80/TCP 127.0.0.1:80:81']), [
      'ExposeInvalidFormat:2',
      'ExposeProtoCasing:2',
    ])
  })

  it('find copies of what .dockerignore keeps out, unless it has exceptions', async () => {
    const matches = (path: string) => path === 'x' || path === '.'
    const lines = ['FROM a', 'COPY x y /', 'ADD ./x/ /', 'COPY . /', 'COPY --from=a x /']
    const rules = (...patterns: string[]) => rulesOf(lines, { ignore: { patterns, matches } })
    assert.deepEqual(await rules('x'), ['CopyIgnoredFile:2', 'CopyIgnoredFile:3'])
    assert.deepEqual(await rules('*'), [
      'CopyIgnoredFile:2',
      'CopyIgnoredFile:3',
      'CopyIgnoredFile:4',
    ])
    assert.deepEqual(await rules('x', '!x/y'), [])
  })

  it('look at description comments only when asked', async () => {
    const lines = ['# other text', 'ARG A', '# A text', 'ARG A', 'FROM a']
    assert.deepEqual(await rulesOf(lines), [])
    const asked = ['# check=experimental=InvalidDefinitionDescription', ...lines]
    assert.deepEqual(await rulesOf(asked), ['InvalidDefinitionDescription:3'])
  })
})

describe('lint directives', () => {
  const bad = ['FROM a as x', 'MAINTAINER m']

  it('skip rules by name or all of them', async () => {
    assert.deepEqual(await rulesOf(['# check=skip=FromAsCasing', ...bad]), [
      'MaintainerDeprecated:3',
    ])
    assert.deepEqual(await rulesOf(['# check=skip=all', ...bad]), [])
    assert.deepEqual(await rulesOf(['# check=skip=FromAsCasing, MaintainerDeprecated', ...bad]), [
      'MaintainerDeprecated:3',
    ])
  })

  it('give way to the build arg', async () => {
    const buildArgs = new Map([['BUILDKIT_DOCKERFILE_CHECK', 'skip=MaintainerDeprecated']])
    assert.deepEqual(await rulesOf(['# check=skip=all', ...bad], { buildArgs }), ['FromAsCasing:2'])
  })

  it('count for one instruction when they stand above it', async () => {
    assert.deepEqual(
      await rulesOf(['FROM a', '# check=skip=all', 'Cmd ["m"]', 'RUN n']),
      ['ConsistentInstructionCasing:3'],
      'a rule that compares instructions',
    )
    assert.deepEqual(
      await rulesOf(['FROM a', '# check=skip=all', 'MAINTAINER m', 'MAINTAINER n']),
      ['MaintainerDeprecated:4'],
    )
  })

  it('make a build fail, and name the rules', async () => {
    assert.deepEqual(await faultsOf(['# check=error=true', ...bad]), [
      '2 lint-violation: lint violation found for rules: FromAsCasing, MaintainerDeprecated'.replace(
        /^2/,
        '2',
      ),
    ])
  })

  it('must be well-formed', async () => {
    assert.deepEqual(await faultsOf(['# check=skp=all', 'FROM a']), [
      '1 bad-argument: failed to parse check options: invalid check option "skp"',
    ])
    const buildArgs = new Map([['BUILDKIT_DOCKERFILE_CHECK', 'skp=all']])
    assert.deepEqual(await faultsOf(['FROM a'], { buildArgs }), [
      '- bad-argument: failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK: invalid check option "skp"',
    ])
  })
})
