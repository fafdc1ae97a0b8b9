import assert from 'node:assert/strict'
import { chmod, readFile, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

describe('mounts of RUN in whole builds', () => {
  requires('steps')

  interface Try {
    readonly files?: Record<string, string>
    readonly links?: Record<string, string>
    /** In seconds. */
    readonly times?: Record<string, number>
    readonly args?: readonly string[]
    /** The stage that leaves /o. */
    readonly last?: string
  }

  /** What the steps left in /o, over an image with coreutils. */
  async function said(
    steps: readonly string[],
    { files, links, times, args, last: stage = 'all' }: Try = {},
  ): Promise<string> {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const lines = [`FROM ${host}/library/debian:bookworm AS all`, ...steps]
    const last = ['FROM scratch', `COPY --from=${stage} /o /`]
    const context = await lab.context({ ...files, Dockerfile: [...lines, ...last].join('\n') })
    for (const [path, target] of Object.entries(links ?? {})) {
      await symlink(target, join(context, path))
    }
    for (const [path, time] of Object.entries(times ?? {})) {
      await utimes(join(context, path), time, time)
    }
    const out = join(lab.dir, 'out')
    await lab.build(['-o', out, ...(args ?? []), context])
    return await readFile(join(out, 'o'), 'utf8')
  }

  it('follows a link of the context to a file', async () => {
    const step = 'RUN --mount=src=link,target=/x cat /x > /o'
    const text = await said([step], { files: { 'd/file': 'one\n' }, links: { link: '/d/file' } })
    assert.equal(text, 'one\n')
  })

  it('keep caches of one id apart by whose directory they begin as, without set-id bits', async () => {
    const step = (options: string): string =>
      `RUN --mount=type=cache,id=c,target=/c,${options} stat -c "%a %u:%g" /c >> /o; touch /c/x`
    const text = await said([
      step('uid=12,gid=34,mode=0711'),
      step('uid=5'),
      step('mode=1777'),
      step('uid=5').replace('touch', 'ls'),
    ])
    assert.equal(text, '711 12:34\n755 5:0\n777 0:0\n755 5:0\n')
  })

  it('show the mode, owner and time of the directory that they are made of', async () => {
    const step = (options: string): string =>
      `RUN --mount=target=/m,${options} stat -c "%a %u:%g %Y" /m >> /o`
    const text = await said(
      [
        'RUN mkdir /d && touch /d/f && chmod 2750 /d && chown 12:34 /d && touch -d @1400000000 /d',
        'FROM all AS last',
        step('type=cache,id=c,from=all,source=/d'),
        step('type=bind,source=x'),
      ],
      { files: { 'x/f': '' }, times: { x: 1_300_000_000 }, last: 'last' },
    )
    assert.equal(text, '2750 12:34 1400000000\n755 0:0 1300000000\n')
  })

  it('execute a step again whose cache mount has another owner', async () => {
    const step = (options: string): string =>
      `RUN --mount=type=cache,id=c,target=/c${options} stat -c "%a %u:%g" /c > /o`
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const out = join(lab.dir, 'out')
    for (const [options, expected] of [
      ['', '755 0:0\n'],
      [',uid=7', '755 7:0\n'],
    ] as const) {
      const lines = [`FROM ${host}/library/debian:bookworm AS all`, step(options)]
      const last = ['FROM scratch', 'COPY --from=all /o /']
      const context = await lab.context({ Dockerfile: [...lines, ...last].join('\n') })
      await lab.build(['-o', out, context])
      assert.equal(await readFile(join(out, 'o'), 'utf8'), expected)
    }
  })

  it('execute a step again that mounts a directory of another mode', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const out = join(lab.dir, 'out')
    const lines = [
      `FROM ${host}/library/debian:bookworm AS all`,
      'RUN --mount=target=/m,source=x stat -c %a /m > /o',
      ...['FROM scratch', 'COPY --from=all /o /'],
    ]
    const context = await lab.context({ Dockerfile: lines.join('\n'), 'x/f': '' })
    for (const mode of [0o755, 0o750]) {
      await chmod(join(context, 'x'), mode)
      await lab.build(['-o', out, context])
      assert.equal(await readFile(join(out, 'o'), 'utf8'), `${mode.toString(8)}\n`)
    }
  })

  it('execute no step again because they are written in another order', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    for (const [first, second] of ['ab', 'ba']) {
      const mounts = `--mount=type=tmpfs,target=/${first} --mount=type=tmpfs,target=/${second}`
      const lines = [`FROM ${host}/library/busybox`, `RUN ${mounts} true`]
      const context = await lab.context({ Dockerfile: lines.join('\n') })
      const { stderr } = await lab.build(['-t', 'x', context])
      assert.equal(/^#\d+ CACHED/m.test(stderr), first === 'b', stderr)
    }
  })

  it('mount a directory that is in a cache', async () => {
    const text = await said([
      'RUN --mount=type=cache,id=c,target=/c mkdir /c/sub && echo in > /c/sub/x',
      'RUN --mount=type=cache,id=c,source=sub,target=/d cat /d/x > /o',
    ])
    assert.equal(text, 'in\n')
  })

  it('begin a cache with a file, whose changes stay in it', async () => {
    const step = 'RUN --mount=type=cache,id=c,from=made,source=/d/file,target='
    const text = await said(
      [
        'RUN mkdir /d && echo one > /d/file && chmod 640 /d/file && chown 5:6 /d/file',
        'FROM all AS made',
        'FROM all AS use',
        `${step}/x echo two >> /x; stat -c "%a %u:%g %F" /x > /o`,
        `${step}/new/y cat /new/y >> /o; test ! -e /x && ls -A /new/y >> /o`,
      ],
      { last: 'use' },
    )
    assert.equal(text, '640 5:6 regular file\none\ntwo\n/new/y\n')
  })

  it('execute no step again because a file of the context has another name', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    for (const name of ['a', 'b', 'c']) {
      const lines = [`FROM ${host}/library/busybox`, `RUN --mount=source=${name},target=/m cat /m`]
      const files = { a: 'same\n', b: 'same\n', c: 'other\n' }
      const context = await lab.context({ ...files, Dockerfile: lines.join('\n') })
      const { stderr } = await lab.build(['-t', 'x', context])
      assert.equal(/^#\d+ CACHED/m.test(stderr), name === 'b', `${name}: ${stderr}`)
    }
  })

  it('on /etc hide the hosts file', async () => {
    assert.equal(await said(['RUN --mount=type=tmpfs,target=/etc ls -A /etc > /o']), '')
  })

  it('may be a tmpfs that nobody can write', async () => {
    assert.equal(
      await said(['RUN --mount=type=tmpfs,target=/t,ro touch /t/x; echo $? > /o']),
      '1\n',
    )
  })

  it('put a secret with a relative target below WORKDIR', async () => {
    const step = 'RUN --mount=type=secret,id=s,target=c,env=V cat /w/c > /o; echo $V >> /o'
    const env = 'RUN --mount=type=secret,id=none,env=V echo "${V-unset}" >> /o'
    const unset = 'RUN --mount=type=secret,id=e cat /run/secrets/e >> /o'
    await using lab = await Lab.open()
    const directory = await lab.context({ secret: 'hush' }, 'secrets')
    const secrets = [`id=s,src=${join(directory, 'secret')}`, 'id=e,env=TSBUILD_TEST_NOT_SET']
    const text = await said(['WORKDIR /w', step, env, unset], {
      args: secrets.flatMap((secret) => ['--secret', secret]),
    })
    assert.equal(text, 'hushhush\n\n')
  })

  it('give a secret that is no text as a file, and not as a variable', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const secret = join(lab.dir, 'secret')
    const build = async (mount: string): Promise<string> => {
      const Dockerfile = `FROM ${host}/library/busybox\nRUN --mount=type=secret,id=s,${mount} od -An -tx1 /s\n`
      const args = ['build', '--no-cache', '--progress=plain', '--secret', `id=s,src=${secret}`]
      return (await lab.tsbuild([...args, await lab.context({ Dockerfile })])).text
    }
    for (const bytes of [Buffer.from([0x61, 0, 0x62]), Buffer.from([0x61, 0xff, 0x62])]) {
      await writeFile(secret, bytes)
      assert.match(await build('target=/s'), / 61 (00|ff) 62$/m)
      assert.match(await build('env=S'), /could not give secret s as variable S: it is no text/)
    }
  })
})

describe('USER in whole builds', () => {
  requires('steps')

  it('takes a number for an id, and a group alone for that of root', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: [
        `FROM ${host}/library/debian:bookworm AS all`,
        'RUN echo 1234:x:55:55::/h:/bin/sh >> /etc/passwd && mkdir -m 777 /o',
        'USER 1234',
        'RUN id > /o/number',
        'USER :adm',
        'RUN id > /o/group',
        'FROM scratch',
        'COPY --from=all /o /',
      ].join('\n'),
    })
    const out = join(lab.dir, 'out')
    await lab.build(['-o', out, context])
    const texts = ['number', 'group'].map((name) => readFile(join(out, name), 'utf8'))
    assert.deepEqual(await Promise.all(texts), [
      'uid=1234 gid=0(root) groups=0(root)\n',
      'uid=0(root) gid=4(adm) groups=4(adm)\n',
    ])
  })
})
