import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseDockerfile } from './dockerfile.ts'
import type { BuildGraph } from './graph.ts'
import type { EpochSource, ImageResolver } from './resolver.ts'
import { DockerfileErrors } from './errors.ts'
import { convert } from './convert.ts'
import {
  convertText,
  fakeResolver,
  faultsOf,
  historyOf,
  nodeOf,
  optionsWith,
  runNodes,
} from './testing/convert-text.ts'

/** Parents come before children, and no history is about what comes after the target. */
function checkOrder(graph: BuildGraph): void {
  for (const node of graph.nodes) if ('parent' in node) assert.ok(node.parent < node.id)
  for (const { node } of graph.history) assert.ok((node ?? 0) <= graph.target)
}

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

describe('faults of a conversion', () => {
  it('are reported together with all that no value can mend', async () => {
    const lines = ['FROM a', 'LABEL x="', 'VOLUME "', 'FROM b AS b', 'EXPOSE x', 'LABEL y="']
    assert.deepEqual(
      (await faultsOf([...lines, 'FROM b'])).map((fault) => fault.split(' ', 1)[0]),
      ['2', '3', '5', '6'],
    )
    const ports = ['FROM a', 'EXPOSE 80 y $A', 'FROM b', 'EXPOSE $A "1"', 'LABEL y="']
    assert.deepEqual(
      (await faultsOf(ports)).map((fault) => fault.split(' ', 1)[0]),
      ['2', '5'],
    )
  })
})

describe('warnings of a conversion', () => {
  const rulesOf = async (lines: readonly string[]): Promise<string[]> => {
    const error: unknown = await convertText(lines).catch((error: unknown) => error)
    assert(error instanceof DockerfileErrors)
    return error.warnings.map(({ rule, range }) => `${rule}:${range.startLine}`)
  }

  it('go with its faults, and with the error that they are made', async () => {
    const warnings = ['FromAsCasing:1', 'MaintainerDeprecated:2']
    const lines = ['FROM a as x', 'MAINTAINER m', 'COPY --chmod=9 a /']
    assert.deepEqual((await rulesOf(lines)).toSorted(), warnings)
    assert.deepEqual(
      (await rulesOf(['# check=error=true', 'FROM a as x', 'MAINTAINER m'])).toSorted(),
      ['FromAsCasing:2', 'MaintainerDeprecated:3'],
    )
  })
})

describe('convert: stages', () => {
  it('resolves only the images that the target needs, each once', async () => {
    const resolver = fakeResolver()
    const graph = await convertText(
      [
        'FROM alpine AS unused',
        'FROM debian AS base',
        'FROM base AS one',
        'COPY --from=debian /a /a',
        'FROM nginx AS other',
        'FROM debian:latest',
        'COPY --from=one /a /a',
      ],
      {},
      resolver,
    )
    assert.deepEqual(resolver.asked, ['docker.io/library/debian:latest linux/amd64'])
    assert.equal(graph.nodes.filter(({ kind }) => kind === 'image').length, 1)
  })

  it('puts parents before children', async () => {
    const graph = await convertText([
      'FROM a AS x',
      'RUN 1',
      'FROM b',
      'COPY --from=x / /',
      'RUN --mount=from=x,target=/x 2',
    ])
    for (const node of graph.nodes) {
      if ('parent' in node) assert.ok(node.parent < node.id)
      if (node.kind === 'copy') {
        for (const source of node.sources)
          assert.ok(source.type !== 'path' || source.from < node.id)
      }
    }
  })

  it('builds the last stage, or the one asked for in any case', async () => {
    const lines = ['FROM a AS one', 'LABEL x=1', 'FROM b AS two', 'LABEL x=2']
    assert.equal((await convertText(lines)).config.config.Labels?.['x'], '2')
    assert.equal((await convertText(lines, { target: 'ONE' })).config.config.Labels?.['x'], '1')
    assert.deepEqual(await faultsOf(lines, { target: 'tow' }), [
      '- unknown-target: target stage "tow" could not be found (did you mean two?)',
    ])
  })

  it('lets a name shadow an image only below its own line', async () => {
    const resolver = fakeResolver()
    await convertText(['FROM alpine AS alpine', 'FROM alpine', 'RUN x'], {}, resolver)
    assert.deepEqual(resolver.asked, ['docker.io/library/alpine:latest linux/amd64'])
  })

  it('addresses stages by number in COPY, but not in mounts', async () => {
    const resolver = fakeResolver()
    await convertText(
      ['FROM a', 'FROM b', 'COPY --from=0 / /', 'RUN --mount=from=0,target=/x y'],
      {},
      resolver,
    )
    assert.ok(resolver.asked.includes('docker.io/library/0:latest linux/amd64'))
    assert.deepEqual(await faultsOf(['FROM a', 'COPY --from=7 / /']), [
      '2 stage-order: invalid stage index 7',
    ])
  })

  it('refuses stages that come later and circles', async () => {
    assert.deepEqual(
      await faultsOf(['FROM a AS x', 'COPY --from=y / /', 'FROM b AS y', 'FROM x']),
      [
        '2 stage-order: cannot copy from stage "y", it needs to be defined before current stage "x"',
      ],
    )
    assert.deepEqual(
      await faultsOf(['FROM a AS x', 'COPY --from=y / /', 'FROM b AS y', 'COPY --from=x / /']),
      ['4 circular-stage: circular dependency detected on stage: x'],
    )
    assert.deepEqual(await faultsOf(['FROM a AS x', 'RUN --mount=from=x,target=/a b']), [
      '2 circular-stage: circular dependency detected on stage: x',
    ])
  })

  it('refuses variables in --from', async () => {
    const [fault] = await faultsOf(['ARG X=a', 'FROM a', 'COPY --from=$X / /'])
    assert.match(fault ?? '', /^3 expansion: variable expansion is not supported for --from/)
  })

  it('reports an image that cannot be found at its FROM, with its cause', async () => {
    const resolver = fakeResolver({ missing: ['docker.io/library/alpin:latest'] })
    assert.deepEqual(await faultsOf(['FROM x AS y', 'FROM alpin'], {}, resolver), [
      '2 base-unresolved: alpin: not found (did you mean alpine?)',
    ])
    const resolveImage = (): Promise<never> =>
      Promise.reject(new Error('could not pull alpin:latest: not found'))
    assert.deepEqual(await faultsOf(['FROM alpin'], {}, { ...resolver, resolveImage }), [
      '1 base-unresolved: could not pull alpin:latest: not found (did you mean alpine?)',
    ])
  })

  it('reports an impossible image name even where it is not needed', async () => {
    const [fault] = await faultsOf(['FROM a/B AS unused', 'FROM x'])
    assert.match(fault ?? '', /^1 bad-reference: .*repository name \(a\/B\) must be lowercase/)
  })

  it('rejects with the reason of an abort', async () => {
    const stop = new AbortController()
    const resolver = fakeResolver()
    const parsed = parseDockerfile('FROM a\n', { name: 'Dockerfile' })
    stop.abort(new Error('stopped'))
    await assert.rejects(convert(parsed, optionsWith(), resolver, stop.signal), {
      message: 'stopped',
    })
  })

  it('survives thousands of stages built on each other', async () => {
    const lines = ['FROM a AS s0']
    for (let i = 1; i < 3000; i++) lines.push(`FROM s${i - 1} AS s${i}`)
    assert.equal((await convertText(lines)).base, 0)
  })
})

describe('convert: variables', () => {
  it('sees global ARGs in FROM only, until a stage declares them', async () => {
    const graph = await convertText(
      [
        'ARG V=1',
        'ARG W=$V.2',
        'FROM img:$W',
        'LABEL a=<$V>',
        'ARG V',
        'LABEL b=<$V>',
        'ARG V=3',
        'LABEL c=<$V>',
      ],
      {},
    )
    assert.deepEqual(graph.config.config.Labels, { a: '<>', b: '<1>', c: '<3>' })
    const base = nodeOf(graph, graph.base ?? -1)
    assert.equal(base.kind === 'image' && base.reference, 'docker.io/library/img:1.2')
  })

  it('lets build args win over all defaults and does not expand them', async () => {
    const buildArgs = new Map([['V', '$x"']])
    const graph = await convertText(['ARG V=1', 'FROM a', 'ARG V=2', 'ENV E=$V'], { buildArgs })
    assert.ok(graph.config.config.Env?.includes('E=$x"'))
  })

  it('uses the variables before an instruction for all pairs of ENV, but goes through ARG from left to right', async () => {
    const graph = await convertText([
      'FROM a',
      'ENV A=1',
      'ENV A=2 B=$A',
      'ARG C=1 D=$C',
      'LABEL d=$D',
    ])
    assert.deepEqual(graph.config.config.Env, [PATH, 'A=2', 'B=1'])
    assert.equal(graph.config.config.Labels?.['d'], '1')
  })

  it('gives RUN every ARG and ENV, the later one winning, and shows ARGs in history', async () => {
    const buildArgs = new Map([['B', 'cli']])
    const graph = await convertText(
      ['FROM a', 'ENV A=env', 'ARG A=arg', 'ARG B', 'ARG C', 'RUN x'],
      { buildArgs },
    )
    const [run] = runNodes(graph)
    assert.deepEqual(run?.env, [PATH, 'A=arg', 'B=cli'])
    assert.equal(historyOf(graph).at(-1), 'RUN |3 A=arg B=cli C= /bin/sh -c x # buildkit')
    assert.deepEqual(graph.config.config.Env, [PATH, 'A=env'])
  })

  it('hands ARGs of a stage to the stages built on it, not to others', async () => {
    const lines = [
      'FROM a AS x',
      'ARG A=1',
      'FROM x AS y',
      'LABEL l=<$A>',
      'FROM a AS z',
      'LABEL l=<$A>',
    ]
    assert.equal((await convertText(lines, { target: 'y' })).config.config.Labels?.['l'], '<1>')
    assert.equal((await convertText(lines)).config.config.Labels?.['l'], '<>')
  })

  it('knows the platforms and the stage asked for', async () => {
    const graph = await convertText(
      [
        'FROM a AS x',
        'ARG TARGETPLATFORM BUILDARCH TARGETVARIANT TARGETSTAGE',
        'LABEL l="$TARGETPLATFORM $BUILDARCH $TARGETVARIANT $TARGETSTAGE"',
      ],
      { targetPlatform: { os: 'linux', architecture: 'arm', variant: 'v7' } },
    )
    assert.equal(graph.config.config.Labels?.['l'], 'linux/arm/v7 amd64 v7 x')
  })

  it('refuses blank base names and platforms, with a guess', async () => {
    assert.deepEqual(await faultsOf(['ARG IMAGE', 'FROM $IMAGE']), [
      '2 bad-reference: base name ($IMAGE) should not be blank',
    ])
    assert.deepEqual(await faultsOf(['FROM --platform=$BUILDPLATFROM a']), [
      '1 bad-flag: empty platform value from expression $BUILDPLATFROM (did you mean BUILDPLATFORM?)',
    ])
  })

  it('reports one error per stage, and none of the stages that need a bad one', async () => {
    const faults = await faultsOf([
      'FROM a AS x',
      'ENV A=${',
      'FROM b AS y',
      'ENV B="${b?no b}" C=${c?no}',
      'FROM c',
      'COPY --from=x / /',
      'COPY --from=y $ /',
    ])
    assert.deepEqual(faults, [
      `2 expansion: failed to process "\${": syntax error: missing '}'`,
      '4 expansion: failed to process "\\"${b?no b}\\"": b: no b',
    ])
  })

  it('exports proxy build args in both cases without declaring them', async () => {
    const buildArgs = new Map([['HTTP_PROXY', 'http://p']])
    const [run] = runNodes(await convertText(['FROM a', 'RUN x'], { buildArgs }))
    assert.deepEqual(run?.proxyEnv, ['HTTP_PROXY=http://p', 'http_proxy=http://p'])
    assert.deepEqual(run?.env, [PATH])
  })

  it('reads SOURCE_DATE_EPOCH', async () => {
    const lines = ['FROM a', 'WORKDIR /x', 'ARG SOURCE_DATE_EPOCH', 'LABEL l=<$SOURCE_DATE_EPOCH>']
    const epoch = (value: string) => ({ buildArgs: new Map([['SOURCE_DATE_EPOCH', value]]) })
    const graph = await convertText(lines, epoch('42'))
    assert.equal(graph.epochSec, 42)
    assert.equal((await convertText(lines, epoch(''))).epochSec, undefined)
    assert.match((await faultsOf(lines, epoch('soon')))[0] ?? '', /invalid SOURCE_DATE_EPOCH: soon/)
    assert.equal((await convertText(lines, epoch('253402300799'))).epochSec, 253402300799)
    for (const value of ['253402300800', '-62167219201', '9'.repeat(30)]) {
      assert.match((await faultsOf(lines, epoch(value)))[0] ?? '', /between the years 0 and 9999/)
    }
  })

  it('takes SOURCE_DATE_EPOCH from contexts and from stages with one remote ADD', async () => {
    const asked: EpochSource[] = []
    const resolver: ImageResolver = {
      ...fakeResolver(),
      resolveEpoch: (source) => {
        asked.push(source)
        return Promise.resolve(source.kind === 'context' && source.name === 'dir' ? undefined : 7)
      },
    }
    const epochOf = async (value: string, stage: readonly string[] = []) => {
      const options = {
        buildArgs: new Map([['SOURCE_DATE_EPOCH', value]]),
        namedContexts: new Set(['dir', 'repo']),
      }
      const lines = [...stage, 'FROM a', 'ARG SOURCE_DATE_EPOCH', 'LABEL l=<$SOURCE_DATE_EPOCH>']
      const graph = await convertText(lines, options, resolver)
      return [graph.epochSec, graph.config.config.Labels?.['l']]
    }
    assert.deepEqual(await epochOf('context'), [7, '<7>'])
    assert.deepEqual(await epochOf('repo'), [7, '<7>'])
    assert.deepEqual(await epochOf('dir'), [undefined, '<>'])
    const stage = ['FROM scratch AS Src', 'ARG V=1', 'ADD https://h/x-$V.tgz /']
    assert.deepEqual(await epochOf('src', stage), [7, '<7>'])
    assert.deepEqual(await epochOf('src', [stage[0] ?? '', 'ADD https://h/r.git#v1 /']), [7, '<7>'])
    assert.deepEqual(
      asked.map((source) => (source.kind === 'http' ? source.url : source.kind)),
      ['context', 'context', 'context', 'https://h/x-1.tgz', 'git'],
    )
    for (const [lines, words] of [
      [['FROM b AS src'], /must use FROM scratch/],
      [['FROM scratch AS src'], /exactly one remote ADD/],
      [['FROM scratch AS src', 'ADD a /'], /single HTTP\(S\) or Git ADD/],
      [['FROM scratch AS src', 'LABEL a=b'], /cannot have LABEL/],
      [[...stage, 'ADD https://h/y /'], /exactly one remote ADD/],
    ] as const) {
      await assert.rejects(epochOf('src', lines), words)
    }
  })
})

describe('convert: bases', () => {
  it('starts scratch with a workdir and a PATH', async () => {
    const graph = await convertText(['FROM scratch', 'LABEL a=b'])
    assert.deepEqual(graph.config, {
      os: 'linux',
      architecture: 'amd64',
      config: { WorkingDir: '/', Env: [PATH], Labels: { a: 'b' } },
    })
    assert.equal(graph.base, undefined)
    assert.equal(nodeOf(graph, graph.target).kind, 'scratch')
  })

  it('keeps what it does not know of a base and drops what belongs to the base only', async () => {
    const images = {
      'docker.io/library/a:latest': {
        os: 'linux',
        architecture: 'amd64',
        created: 'then',
        history: [],
        rootfs: {},
        vendor: 1,
        config: {
          Env: ['A=1'],
          Labels: { l: '1' },
          WorkingDir: 'w',
          Odd: [1],
          Entrypoint: ['e'],
          OnBuild: [],
        },
      },
    }
    const graph = await convertText(['FROM a', 'ENV B=$A'], {}, fakeResolver({ images }))
    assert.deepEqual(graph.config, {
      os: 'linux',
      architecture: 'amd64',
      vendor: 1,
      config: {
        Env: ['A=1', PATH, 'B=1'],
        Labels: { l: '1' },
        WorkingDir: '/w',
        Odd: [1],
        Entrypoint: ['e'],
      },
    })
    assert.equal(images['docker.io/library/a:latest'].created, 'then')
  })

  it('runs triggers of a base image first, once, and clears them', async () => {
    const images = {
      'docker.io/library/a:latest': {
        os: 'linux',
        architecture: 'amd64',
        config: { OnBuild: ['COPY --from=tool /t /t', 'ENV t=1', 'RUN trigger'] },
      },
    }
    const resolver = fakeResolver({ images })
    const graph = await convertText(['FROM a AS x', 'RUN own', 'FROM x', 'RUN last'], {}, resolver)
    assert.deepEqual(historyOf(graph), [
      'COPY /t /t # buildkit',
      'ENV t=1',
      'RUN /bin/sh -c trigger # buildkit',
      'RUN /bin/sh -c own # buildkit',
      'RUN /bin/sh -c last # buildkit',
    ])
    assert.equal(graph.config.config.OnBuild, undefined)
    assert.ok(resolver.asked.includes('docker.io/library/tool:latest linux/amd64'))
    assert.equal(runNodes(graph)[0]?.origin.title, '[x 3/5] ONBUILD RUN trigger')
  })

  it('points to FROM when a trigger cannot be read', async () => {
    const images = {
      'docker.io/library/a:latest': {
        os: 'linux',
        architecture: 'amd64',
        config: { OnBuild: ['RUM x'] },
      },
    }
    const [fault] = await faultsOf(['FROM a'], {}, fakeResolver({ images }))
    assert.match(fault ?? '', /^1 unknown-instruction: ONBUILD RUM x: .*unknown instruction: RUM/)
  })

  it('asks for the platform of FROM and carries the target platform when it was given', async () => {
    const resolver = fakeResolver()
    const arm = { os: 'linux', architecture: 'arm64' }
    const graph = await convertText(
      ['FROM --platform=$BUILDPLATFORM a AS x', 'FROM a', 'COPY --from=x / /'],
      { targetPlatform: arm, isPlatformExplicit: true },
      resolver,
    )
    assert.deepEqual(resolver.asked.sort(), [
      'docker.io/library/a:latest linux/amd64',
      'docker.io/library/a:latest linux/arm64',
    ])
    assert.equal(graph.config.architecture, 'arm64')
  })

  it('applies --label last and outside of history', async () => {
    const labels = new Map([['a', 'cli']])
    const graph = await convertText(['FROM a', 'LABEL a=file b=file'], { labels })
    assert.deepEqual(graph.config.config.Labels, { a: 'cli', b: 'file' })
    assert.deepEqual(historyOf(graph), ['LABEL a=file b=file'])
  })
})

describe('convert: named contexts', () => {
  const names = (...list: string[]) => ({ namedContexts: new Set(list) })

  it('replaces images, stages and sources by name, but never scratch', async () => {
    const resolver = fakeResolver()
    const graph = await convertText(
      [
        'FROM a AS lib',
        'RUN never',
        'FROM scratch',
        'COPY --from=lib / /l',
        'COPY --from=ext:latest / /e',
      ],
      names('lib', 'docker.io/library/ext', 'scratch'),
      resolver,
    )
    assert.deepEqual(resolver.asked.sort(), ['context docker.io/library/ext', 'context lib'])
    assert.deepEqual(runNodes(graph), [])
  })

  it('prefers the context for the platform', async () => {
    const resolver = fakeResolver()
    await convertText(['FROM lib'], names('lib', 'lib::linux/amd64', 'lib::linux/arm64'), resolver)
    assert.deepEqual(resolver.asked, ['context lib::linux/amd64'])
  })

  it('makes one layer of a context that is used as a base', async () => {
    const graph = await convertText(['FROM lib', 'RUN x'], names('lib'))
    const [copy] = graph.nodes.filter(({ kind }) => kind === 'copy')
    assert.deepEqual(historyOf(graph), ['local source for lib', 'RUN /bin/sh -c x # buildkit'])
    assert.equal(graph.history[0]?.node, copy?.id)
    assert.equal(runNodes(graph)[0]?.parent, copy?.id)
  })

  it('takes the config of a context that is an image', async () => {
    const image = {
      reference: 'r',
      resolved: 'm',
      config: { os: 'linux', architecture: 'amd64', config: { Env: ['X=1'] } },
    }
    const resolver = fakeResolver({ contexts: { base: { kind: 'image', image } } })
    const graph = await convertText(['FROM base', 'LABEL l=$X'], names('base'), resolver)
    assert.equal(graph.config.config.Labels?.['l'], '1')
    assert.equal(graph.base, graph.target)
  })
})

describe('convert: titles', () => {
  const titles = async (lines: string[], changes = {}): Promise<string[]> =>
    (await convertText(lines, changes)).nodes.map(({ origin }) => origin.title)

  it('counts the steps of a stage and leaves out the name of the only one', async () => {
    assert.deepEqual(await titles(['FROM a', 'ENV V=1', 'WORKDIR /w', 'run echo $V $none "$V"']), [
      '[1/3] FROM docker.io/library/a:latest',
      '[2/3] WORKDIR /w',
      '[3/3] RUN echo 1 $none "1"',
    ])
  })

  it('names stages, platforms and the target of a cross build', async () => {
    const arm = { os: 'linux', architecture: 'arm64' }
    const list = await titles(
      [
        'FROM --platform=$BUILDPLATFORM a AS x',
        'ARG TARGETARCH',
        'RUN b',
        'FROM c',
        'COPY --from=x / /',
      ],
      { targetPlatform: arm, isMultiPlatform: true },
    )
    assert.deepEqual(list, [
      '[linux/amd64 x 1/2] FROM docker.io/library/a:latest',
      '[linux/arm64 stage-1 1/2] FROM docker.io/library/c:latest',
      '[linux/amd64->arm64 x 2/2] RUN b',
      '[linux/arm64 stage-1 2/2] COPY --from=x / /',
    ])
  })

  it('marks the stages whose cache is not to be used', async () => {
    const graph = await convertText(['FROM a AS x', 'RUN b', 'FROM x AS y', 'RUN c'], {
      noCacheFilter: ['Y'],
    })
    assert.deepEqual(
      runNodes(graph).map(({ origin }) => origin.ignoreCache),
      [false, true],
    )
  })
})

describe('convert: any file', () => {
  it('becomes a graph in order, or DockerfileErrors', async () => {
    const value = fc.constantFrom(
      ...[
        'a',
        '$A',
        '${A:-b}',
        '"q r"',
        '${',
        "'",
        '/x/',
        '.',
        '*',
        '80/udp',
        '1',
        'TERM',
        '["a"]',
        '\\',
      ],
    )
    const line = fc
      .tuple(
        fc.constantFrom(
          ...[
            'FROM',
            'FROM s AS',
            'RUN',
            'RUN --mount=from=s,target=',
            'RUN --mount=type=cache,target=',
          ],
          ...[
            'COPY --from=s',
            'COPY --from=0',
            'COPY a',
            'ADD http://h/',
            'ADD git@h:r',
            'ENV A=',
            'ARG A',
          ],
          ...[
            'LABEL',
            'USER',
            'WORKDIR',
            'EXPOSE',
            'VOLUME',
            'STOPSIGNAL',
            'CMD',
            'ONBUILD RUN',
            'SHELL',
          ],
        ),
        fc.array(value, { maxLength: 3 }),
      )
      .map(([name, values]) => `${name} ${values.join(' ')}`)
    const file = fc.array(line, { maxLength: 12 }).map((lines) => ['FROM img AS s', ...lines])
    await fc.assert(
      fc.asyncProperty(file, fc.boolean(), async (lines, isReplaced) => {
        const namedContexts = new Set(isReplaced ? ['s', 'a'] : [])
        try {
          checkOrder(await convertText(lines, { namedContexts }))
        } catch (error) {
          assert.ok(error instanceof DockerfileErrors, String(error))
        }
      }),
      { numRuns: 500 },
    )
  })
})
