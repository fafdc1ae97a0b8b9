import assert from 'node:assert/strict'
import type { StageContainerConfig } from './image-config.ts'
import {
  convertText,
  fakeResolver,
  faultsOf,
  historyOf,
  mkdirNodes,
} from './testing/convert-text.ts'

const BASE = {
  'docker.io/library/a:latest': {
    os: 'linux',
    architecture: 'amd64',
    config: { Cmd: ['base'], Env: ['PATH=/bin'] },
  },
}

async function build(
  ...lines: string[]
): Promise<{ config: StageContainerConfig; history: string[] }> {
  const graph = await convertText(['FROM a', ...lines], {}, fakeResolver({ images: BASE }))
  return { config: graph.config.config, history: historyOf(graph) }
}

describe('CMD and ENTRYPOINT', () => {
  it('wraps the shell form in SHELL and quotes history as Go does', async () => {
    const { config, history } = await build(
      'CMD echo "é\\t"\u0001',
      'SHELL ["s", "-x"]',
      'ENTRYPOINT e',
    )
    assert.deepEqual(config.Entrypoint, ['s', '-x', 'e'])
    assert.deepEqual(config.Cmd, ['/bin/sh', '-c', 'echo "é\\t"\u0001'])
    assert.equal(config.ArgsEscaped, true)
    assert.deepEqual(history, [
      'CMD ["/bin/sh" "-c" "echo \\"é\\\\t\\"\\x01"]',
      'SHELL [s -x]',
      'ENTRYPOINT ["s" "-x" "e"]',
    ])
  })

  it('drops a CMD from below when the stage sets an ENTRYPOINT, not its own', async () => {
    assert.equal((await build('ENTRYPOINT ["e"]')).config.Cmd, undefined)
    assert.deepEqual((await build('CMD ["c"]', 'ENTRYPOINT ["e"]')).config.Cmd, ['c'])
    const child = await convertText(['FROM a AS x', 'CMD ["c"]', 'FROM x', 'ENTRYPOINT []'])
    assert.equal(child.config.config.Cmd, undefined)
    assert.equal(child.config.config.Entrypoint, undefined)
  })
})

describe('EXPOSE', () => {
  it('sorts words, opens ranges and lower-cases protocols', async () => {
    const { config, history } = await build('ENV P="90 91"', 'EXPOSE 8000-8001/UDP 80 $P')
    assert.deepEqual(history.at(-1), 'EXPOSE [90/tcp 91/tcp 80/tcp 8000/udp 8001/udp]')
    assert.deepEqual(Object.keys(config.ExposedPorts ?? {}).sort(), [
      '80/tcp',
      '8000/udp',
      '8001/udp',
      '90/tcp',
      '91/tcp',
    ])
  })

  it('says what is wrong with a port', async () => {
    const fault = async (text: string) => (await faultsOf(['FROM a', `EXPOSE ${text}`]))[0]
    assert.equal(await fault('80/x'), '2 bad-argument: invalid port: "80/x": invalid proto: x')
    assert.equal(await fault('70000'), '2 bad-argument: invalid containerPort: 70000')
    assert.equal(await fault('9-8'), '2 bad-argument: invalid containerPort: 9-8')
    assert.equal(await fault('/tcp'), '2 bad-argument: invalid port: "/tcp": no port specified')
  })
})

describe('other metadata', () => {
  it('writes HEALTHCHECK as Go prints the struct', async () => {
    const { config, history } = await build(
      'HEALTHCHECK --interval=1m30s --timeout=1500ms --start-period=1h --retries=3 CMD a "b"',
    )
    assert.deepEqual(config.Healthcheck, {
      Test: ['CMD-SHELL', 'a "b"'],
      Interval: 90_000_000_000,
      Timeout: 1_500_000_000,
      StartPeriod: 3_600_000_000_000,
      Retries: 3,
    })
    assert.deepEqual(history, [
      'HEALTHCHECK {Test:[CMD-SHELL a "b"] Interval:1m30s Timeout:1.5s StartPeriod:1h0m0s StartInterval:0s Retries:3}',
    ])
    assert.deepEqual((await build('HEALTHCHECK none')).config.Healthcheck, { Test: ['NONE'] })
  })

  it('replaces ENV in place and keeps the order', async () => {
    const { config } = await build('ENV B=1 C=1', 'ENV B=2', 'ENV D 1 = 2')
    assert.deepEqual(config.Env, ['PATH=/bin', 'B=2', 'C=1', 'D=1 = 2'])
  })

  it('takes odd label names for what they are', async () => {
    const { config } = await build('LABEL __proto__=x "a b"=c')
    assert.deepEqual(Object.entries(config.Labels ?? {}), [
      ['__proto__', 'x'],
      ['a b', 'c'],
    ])
  })

  it('checks STOPSIGNAL after expansion and stores it as written', async () => {
    assert.equal((await build('ENV S=term', 'STOPSIGNAL sig$S')).config.StopSignal, 'sigterm')
    const [fault] = await faultsOf(['FROM a', 'STOPSIGNAL SIGFOO'])
    assert.equal(fault, '2 bad-argument: invalid signal: SIGFOO')
  })

  it('keeps triggers without a history entry, and MAINTAINER as author', async () => {
    const graph = await convertText(['FROM a', 'MAINTAINER me', 'ONBUILD run  x'])
    assert.equal(graph.config.author, 'me')
    assert.deepEqual(graph.config.config.OnBuild, ['run  x'])
    assert.deepEqual(historyOf(graph), ['MAINTAINER me'])
  })

  it('keeps a backslash in single quotes, whatever stands behind it', async () => {
    const graph = await convertText(['FROM a', `ENV a='\\"b' c='\\' d=\\`])
    assert.deepEqual(graph.config.config.Env?.slice(1), ['a=\\"b', 'c=\\', 'd='])
  })

  it('takes an empty WORKDIR for the one before', async () => {
    const graph = await convertText(['FROM a', 'WORKDIR /x/', 'WORKDIR $UNSET', 'WORKDIR $UNSET'])
    assert.deepEqual(historyOf(graph), ['WORKDIR /x/', 'WORKDIR /x/', 'WORKDIR /x/'])
    assert.deepEqual(historyOf(await convertText(['FROM a', 'WORKDIR $UNSET'])), ['WORKDIR /'])
  })

  it('makes a layer of each WORKDIR but /', async () => {
    const graph = await convertText(['FROM a', 'WORKDIR /x/', 'USER u', 'WORKDIR y', 'WORKDIR /'])
    assert.deepEqual(
      mkdirNodes(graph).map(({ path, user }) => [path, user]),
      [
        ['/x', ''],
        ['/x/y', 'u'],
      ],
    )
    assert.deepEqual(historyOf(graph), ['WORKDIR /x/', 'USER u', 'WORKDIR /x/y', 'WORKDIR /'])
    assert.deepEqual(
      graph.history.map(({ node }) => node !== undefined),
      [true, false, true, false],
    )
  })

  it('lists volumes after expansion', async () => {
    const { config, history } = await build('ENV V=/v', 'VOLUME $V /w', 'VOLUME ["/x y"]')
    assert.deepEqual(Object.keys(config.Volumes ?? {}), ['/v', '/w', '/x y'])
    assert.deepEqual(history.slice(1), ['VOLUME [/v /w]', 'VOLUME [/x y]'])
  })
})
