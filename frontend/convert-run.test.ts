import assert from 'node:assert/strict'
import type { RunMount, RunNode } from './graph.ts'
import { convertText, faultsOf, historyOf, runNodes } from './testing/convert-text.ts'

async function runOf(lines: readonly string[], changes = {}): Promise<RunNode> {
  const run = runNodes(await convertText(['FROM a', ...lines], changes)).at(-1)
  assert.ok(run !== undefined)
  return run
}

async function mountOf(text: string, ...before: string[]): Promise<RunMount | undefined> {
  return (await runOf([...before, `RUN --mount=${text} x`])).mounts[0]
}

const mountFault = async (text: string): Promise<string> => {
  const [fault = ''] = await faultsOf(['FROM a', `RUN --mount=${text} x`])
  return fault.replace(/^2 bad-flag: (dockerfile parse error on line 2: )?/, '')
}

describe('RUN', () => {
  it('shows expansions that only a shell knows in its title, beside those that are known', async () => {
    const graph = await convertText(['FROM a', 'ENV A=1', 'RUN echo $A ${none:0:3}'])
    assert.equal(runNodes(graph)[0]?.origin.title, '[2/2] RUN echo 1 ${none:0:3}')
  })

  it('takes user, workdir, network and shell from the stage', async () => {
    const run = await runOf(
      ['USER u:g', 'WORKDIR /w/', 'WORKDIR x', 'SHELL ["/bin/bash", "-ec"]', 'RUN a  b'],
      { network: 'none', hostname: 'h' },
    )
    assert.deepEqual(run.args, ['/bin/bash', '-ec', 'a  b'])
    assert.deepEqual([run.user, run.cwd, run.network, run.hostname], ['u:g', '/w/x', 'none', 'h'])
    assert.equal(run.display, '/bin/bash -ec a  b')
  })

  it('runs the exec form without a shell and refuses an empty one', async () => {
    assert.deepEqual((await runOf(['RUN ["a", "$b"]'])).args, ['a', '$b'])
    const [fault] = await faultsOf(['FROM a', 'RUN []'])
    assert.match(fault ?? '', /arguments are required/)
  })

  it('passes a lone heredoc as the command and leaves variables to the shell', async () => {
    const run = await runOf(['RUN <<E', 'echo $x', 'E'])
    assert.deepEqual(run.args, ['/bin/sh', '-c', 'echo $x\n'])
    assert.match(run.origin.title, /RUN <<E \(echo \$x\)$/)
  })

  it('puts a heredoc with a shebang into a file and runs that', async () => {
    const run = await runOf(['RUN <<-E', '\t#!/bin/cat', '\tx', 'E'])
    assert.deepEqual(run.args, ['/bin/sh', '-c', '/dev/pipes/E'])
    assert.deepEqual(run.scripts, [{ name: 'E', content: '#!/bin/cat\nx\n' }])
  })

  it('hands heredocs beside a command back to the shell', async () => {
    const run = await runOf(['RUN cat <<A <<B', 'a', 'A', 'b', 'B'])
    assert.deepEqual(run.args, ['/bin/sh', '-c', 'cat <<A <<B\na\nA\nb\nB'])
  })

  it('checks --network and --security', async () => {
    const run = await runOf(['RUN --network=host --security=insecure x'])
    assert.deepEqual([run.network, run.security], ['host', 'insecure'])
    const faults = await faultsOf(['FROM a', 'RUN --network=x y', 'RUN --security=x y'])
    assert.match(faults.join('\n'), /invalid network mode "x"[\s\S]*security "x" is not valid/)
  })
})

describe('RUN --mount', () => {
  it('is a read-only bind of the context when nothing is said', async () => {
    const graph = await convertText(['FROM a', 'WORKDIR /w', 'RUN --mount=target=t,source=../s x'])
    const [mount] = runNodes(graph)[0]?.mounts ?? []
    assert.ok(mount?.type === 'bind')
    assert.deepEqual([mount.target, mount.source, mount.isReadonly], ['/w/t', '/s', true])
    assert.equal(graph.nodes[mount.from]?.kind, 'context')
  })

  it('takes a bind from a stage, writable when asked', async () => {
    const graph = await convertText([
      'FROM a AS s',
      'RUN 1',
      'FROM b',
      'RUN --mount=from=s,target=/t,rw x',
    ])
    const [mount] = runNodes(graph)[1]?.mounts ?? []
    assert.ok(mount?.type === 'bind')
    assert.deepEqual([mount.from, mount.isReadonly], [runNodes(graph)[0]?.id, false])
  })

  it('defaults a cache to its cleaned target', async () => {
    assert.deepEqual(await mountOf('type=cache,target=/a//b/'), {
      type: 'cache',
      target: '/a/b',
      cacheId: '//a/b',
      sharing: 'shared',
      from: undefined,
      source: '/',
      mode: 0o755,
      uid: 0,
      gid: 0,
      isReadonly: false,
    })
  })

  it('puts caches into the namespace asked for', async () => {
    const buildArgs = new Map([['BUILDKIT_CACHE_MOUNT_NS', 'ns']])
    const { mounts } = await runOf(
      ['RUN --mount=type=cache,id=i,target=/a,sharing=LOCKED,mode=0700,uid=5 x'],
      { buildArgs },
    )
    assert.ok(mounts[0]?.type === 'cache')
    const { cacheId, sharing, mode, uid } = mounts[0]
    assert.deepEqual([cacheId, sharing, mode, uid], ['ns/i', 'locked', 0o700, 5])
  })

  it('reads tmpfs sizes', async () => {
    assert.deepEqual(await mountOf('type=tmpfs,target=/t,size=1.5k'), {
      type: 'tmpfs',
      target: '/t',
      sizeBytes: 1536,
      isReadonly: false,
    })
  })

  it('fills in ids and targets of secrets', async () => {
    const secret = {
      type: 'secret',
      env: undefined,
      isRequired: false,
      mode: 0o400,
      uid: 0,
      gid: 0,
    }
    assert.deepEqual(await mountOf('type=secret,id=a/b'), {
      ...secret,
      secretId: 'a/b',
      target: '/run/secrets/b',
    })
    assert.deepEqual(await mountOf('type=secret,target=/x/y,required'), {
      ...secret,
      secretId: 'y',
      target: '/x/y',
      isRequired: true,
    })
    assert.deepEqual(await mountOf('type=secret,id=a,env=A'), {
      ...secret,
      secretId: 'a',
      target: undefined,
      env: 'A',
    })
  })

  it('shows that a variable holds a secret', async () => {
    const run = await runOf(['ENV TOKEN=old', 'RUN --mount=type=secret,id=t,env=TOKEN use $TOKEN'])
    assert.match(run.origin.title, /use \*\*\*\*$/)
  })

  it('numbers agents and leads SSH_AUTH_SOCK to the first', async () => {
    const run = await runOf(['RUN --mount=type=ssh --mount=type=ssh,id=b x'])
    assert.deepEqual(
      run.mounts.map((mount) => mount.target),
      ['/run/buildkit/ssh_agent.0', '/run/buildkit/ssh_agent.1'],
    )
    assert.ok(run.env.includes('SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0'))
    const own = await runOf(['ENV SSH_AUTH_SOCK=/mine', 'RUN --mount=type=ssh x'])
    assert.deepEqual(
      own.env.filter((entry) => entry.startsWith('SSH')),
      ['SSH_AUTH_SOCK=/mine'],
    )
  })

  it('expands every value but from', async () => {
    const mount = await mountOf('type=$T,target=${D}/x,\\"id=a,b\\"', 'ENV T=cache D=/d')
    assert.ok(mount?.type === 'cache')
    assert.deepEqual([mount.target, mount.cacheId], ['/d/x', '/a,b'])
  })

  it('lets the last of two mounts at one place count', async () => {
    const { mounts } = await runOf(['RUN --mount=target=/x --mount=type=tmpfs,target=/x y'])
    assert.deepEqual(
      mounts.map(({ type }) => type),
      ['tmpfs'],
    )
  })

  it('says what is wrong with a mount', async () => {
    assert.equal(await mountFault('type=bind'), 'invalid mount target "/"')
    assert.equal(
      await mountFault('type=bnd,target=/x'),
      'unsupported mount type "bnd" (did you mean bind?)',
    )
    assert.equal(
      await mountFault('required,type=secret,id=a'),
      "unexpected key 'required' for mount type 'bind'",
    )
    assert.equal(
      await mountFault('targt=/x'),
      "unexpected key 'targt' in 'targt=/x' (did you mean target?)",
    )
    assert.equal(await mountFault('target'), "invalid field 'target' must be a key=value pair")
    assert.equal(
      await mountFault('type=tmpfs,target=/x,uid=1'),
      'uid not allowed for "tmpfs" type mounts',
    )
    assert.equal(
      await mountFault('type=secret'),
      'invalid secret mount. one of source, target required',
    )
    assert.equal(await mountFault('type=cache,target=/x,mode=9'), 'invalid value 9 for mode')
    assert.equal(
      await mountFault('target=/x,sharing=locked'),
      'invalid cache sharing set for bind mount',
    )
    assert.equal(await mountFault('type=\\"bind'), 'failed to parse csv mounts')
  })

  it('keeps mounts out of history', async () => {
    const graph = await convertText(['FROM a', 'RUN --mount=type=tmpfs,target=/x y'])
    assert.deepEqual(historyOf(graph), ['RUN /bin/sh -c y # buildkit'])
  })
})
