import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chown, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { CLI, type CommandOptions, type CommandResult, runCommand } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'
import { ordinaryUser } from './lab/user.ts'

const SECRET = 'correct horse battery staple'

/** However full this machine's disk is. */
const KEEPING = ['build', '--progress=plain', '--on-failure=keep']

async function failing(lab: Lab, args: readonly string[]): Promise<string> {
  const result = await lab.tsbuild([...KEEPING, ...args])
  assert.equal(result.status, 1, result.text)
  const id = /tsbuild shell .*?([0-9a-f]{8})$/m.exec(result.stderr)?.[1]
  assert.ok(id !== undefined, result.text)
  return id
}

async function kept(lab: Lab): Promise<string[]> {
  return (await readdir(join(lab.stateRoot, 'failed'))).toSorted()
}

async function simple(lab: Lab, command: string): Promise<string> {
  const { host } = await labRegistry()
  return await lab.context({ Dockerfile: `FROM ${host}/library/busybox\nRUN ${command}\n` })
}

describe('a shell in a step that failed', () => {
  requires('steps')

  it('has its files, mounts, environment, directory and user, and secrets only when they are given', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      'in/context': 'from the context',
      Dockerfile: [
        `FROM ${host}/library/busybox AS other`,
        'RUN echo stage > /made',
        `FROM ${host}/library/busybox`,
        'RUN mkdir /work && chown 1000 /work',
        'WORKDIR /work',
        'USER 1000',
        'ENV A=1',
        'ARG B',
        'RUN --mount=type=bind,source=in,target=/ctx --mount=type=bind,source=link,target=/link \\',
        '    --mount=type=bind,from=other,target=/other \\',
        '    --mount=type=cache,target=/cache,mode=0777 --mount=type=tmpfs,target=/scratch \\',
        '    --mount=type=secret,id=key,target=/key,mode=0444 --mount=type=secret,id=key,env=KEY \\',
        '    echo wrote > wrote; echo kept > /cache/c; rm /tmp/x || exit 7',
      ].join('\n'),
    })
    await symlink('in', join(context, 'link'))
    const file = join(lab.dir, 'secret file')
    await writeFile(file, SECRET)
    const secret = ['--secret', `id=key,src=${file}`]
    const built = await lab.tsbuild([
      ...[...KEEPING, '--build-arg', 'B=2', '--build-arg', 'HTTP_PROXY=http://u:pw0815@p:1'],
      ...[...secret, context],
    ])
    const advice = `tsbuild shell --secret 'id=key,src=${file}' `
    assert.ok(built.stderr.includes(advice), built.stderr)
    const id = built.stderr.split(advice)[1]?.trim() ?? ''
    const input =
      'cat wrote; pwd; id -u; echo $A $B; cat /ctx/context /link/context /other/made /cache/c /key; echo; echo $KEY; touch /scratch/x && echo scratch; echo $0'
    const shell = await lab.tsbuild(['shell', ...secret, id], { input })
    assert.equal(
      shell.stdout,
      `wrote\n/work\n1000\n1 2\nfrom the contextfrom the contextstage\nkept\n${SECRET}\n${SECRET}\nscratch\n/bin/sh\n`,
      shell.stderr,
    )
    assert.match(shell.stderr, /NOTE: not set here, though the step had it: HTTP_PROXY/)
    const without = await lab.tsbuild(['shell'], { input: 'ls -l /key; echo "[$KEY]"; exit 9' })
    assert.equal(without.status, 9, without.text)
    assert.match(without.stderr, /NOTE: secret key is missing: give it with --secret id=key/)
    assert.equal(without.stdout, '[]\n')
    // Nothing that is secret lies in the state root.
    const found = spawnSync('grep', ['-rlE', `${SECRET}|pw0815`, lab.stateRoot])
    assert.equal(found.stdout.toString(), '')
    assert.deepEqual(await lab.unfinished(), [])
  })

  it('throws away what is written, and begins as the command left it each time', async () => {
    await using lab = await Lab.open()
    const context = await simple(lab, 'echo one > /f; rm /bin/vi; false')
    const id = await failing(lab, [context])
    const change = await lab.tsbuild(['shell', id], { input: 'echo two > /f; rm /bin/cat' })
    assert.equal(change.status, 0, change.text)
    const look = await lab.tsbuild(['shell', id.slice(0, 5)], { input: 'cat /f; ls /bin/vi' })
    assert.equal(look.stdout, 'one\n')
    assert.match(look.stderr, /vi: No such file/)
  })

  it('is on the terminal, at once when the build was told so', async function () {
    if (process.env['TSBUILD_MUST_WORK'] !== '1' && spawnSync('script', ['-V']).error) this.skip()
    await using lab = await Lab.open()
    const context = await simple(lab, 'echo one > /f; false')
    const command = `stty rows 33 cols 132; ${process.execPath} ${CLI} build --on-failure=shell ${context}`
    const result = await runCommand('script', ['-qec', command, '/dev/null'], {
      env: { ...process.env, TSBUILD_ROOT: lab.stateRoot, TERM: 'xterm' },
      input: 'cat /f; tty; echo $TERM; stty size; exit 3\r',
    })
    assert.equal(result.status, 1, result.text)
    assert.match(result.stdout, /This is the step as it failed/)
    assert.match(result.stdout, /\r\none\r\n\/dev\/pts\/0\r\nxterm\r\n/)
  })

  it('is refused by a build without a terminal, and so is an unknown action', async () => {
    await using lab = await Lab.open()
    const context = await simple(lab, 'false')
    const shell = await lab.tsbuild(['build', '--on-failure=shell', context])
    assert.equal(shell.status, 2, shell.text)
    assert.match(shell.stderr, /--on-failure=shell needs a terminal/)
    const unknown = await lab.tsbuild(['build', '--on-failure=debug', context])
    assert.equal(unknown.status, 2, unknown.text)
    assert.match(unknown.stderr, /unknown --on-failure "debug" \(known: keep, shell, discard\)/)
  })

  it('uses SHELL, /bin/sh where that is missing, and says so when there is none', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: [
        `FROM ${host}/library/busybox AS own`,
        'SHELL ["/bin/ash", "-c"]',
        'RUN false',
        `FROM ${host}/library/busybox AS missing`,
        'SHELL ["/bin/bash", "-o", "pipefail", "-c"]',
        'RUN true',
        'FROM scratch AS none',
        'RUN ["/true"]',
      ].join('\n'),
    })
    const run = async (target: string): Promise<CommandResult> => {
      const id = await failing(lab, ['--target', target, context])
      return await lab.tsbuild(['shell', id], { input: 'echo $0' })
    }
    assert.equal((await run('own')).stdout, '/bin/ash\n')
    assert.equal((await run('missing')).stdout, '/bin/sh\n')
    const none = await run('none')
    assert.equal(none.status, 1)
    assert.match(none.stderr, /could not open a shell in .*: the image has no \/bin\/sh\nHINT: /)
  })

  it('is kept for the last few failures only, for a day, and not with --on-failure=discard', async () => {
    await using lab = await Lab.open()
    const context = await simple(lab, 'false')
    const ids: string[] = []
    for (let index = 0; index < 4; index += 1) ids.push(await failing(lab, [context]))
    assert.deepEqual(await kept(lab), ids.slice(1).toSorted())
    const discarded = await lab.tsbuild(['build', '--on-failure=discard', context])
    assert.doesNotMatch(discarded.stderr, /tsbuild shell/)
    assert.deepEqual(await kept(lab), ids.slice(1).toSorted())
    const list = await lab.tsbuild(['shell', '--list'])
    assert.deepEqual(
      list.stdout.split('\n').map((line) => line.slice(0, 8)),
      ['ID      ', ...ids.slice(1).toReversed(), ''],
    )
    const path = join(lab.stateRoot, 'failed', ids[1] ?? '', 'step.json')
    const text = await readFile(path, 'utf8')
    await writeFile(path, text.replace(/"failedAt":"20../, '"failedAt":"2001'))
    await lab.build([await lab.context({ Dockerfile: 'FROM scratch\nCOPY . /\n' }, 'other')])
    assert.deepEqual(await kept(lab), ids.slice(2).toSorted())
    assert.deepEqual(await lab.unfinished(), [])
  })

  it('is removed by prune, with the layers that only it needed, unless somebody is in it', async () => {
    await using lab = await Lab.open()
    const context = await simple(lab, 'echo one > /f; false')
    const id = await failing(lab, [context])
    const usage = await lab.tsbuild(['du', '--verbose'])
    assert.match(usage.stdout, new RegExp(`failed-step .*tsbuild shell ${id}`))
    let pruned: Promise<CommandResult> | undefined
    const shell = await lab.tsbuild(['shell', id], {
      input:
        'echo in >&2; while ! [ -e /proc/self/fdx ] && [ $((n+=1)) -lt 20 ]; do cat /f; sleep 0.1; done',
      onStderr: () => {
        pruned ??= lab.tsbuild(['prune', '-af'])
      },
    })
    assert.equal(shell.stdout, 'one\n'.repeat(19), shell.stderr)
    assert.equal((await pruned)?.status, 0)
    assert.deepEqual(await kept(lab), [id])
    assert.equal((await lab.tsbuild(['prune', '-f'])).status, 0)
    assert.deepEqual(await kept(lab), [])
    const gone = await lab.tsbuild(['shell', id])
    assert.equal(gone.status, 1)
    assert.match(gone.stderr, /could not open a shell in the failed step .*: no such step is kept/)
  })

  it('finds each of two builds that fail at the same time', async () => {
    await using lab = await Lab.open()
    const contexts = await Promise.all(
      ['a', 'b'].map(async (name) => {
        const { host } = await labRegistry()
        const text = `FROM ${host}/library/busybox\nRUN echo ${name} > /f; false\n`
        return await lab.context({ Dockerfile: text }, name)
      }),
    )
    const ids = await Promise.all(contexts.map((context) => failing(lab, [context])))
    for (const [index, id] of ids.entries()) {
      const { stdout } = await lab.tsbuild(['shell', id], { input: 'cat /f' })
      assert.equal(stdout, `${['a', 'b'][index]}\n`)
    }
  })

  it('leaves nothing unfinished when it or the build is killed', async () => {
    await using lab = await Lab.open()
    const context = await simple(lab, 'echo one > /f; false')
    const id = await failing(lab, [context])
    const killed = await lab.tsbuild(['shell', id], {
      input: 'echo in >&2; sleep 100',
      onStderr: (text, signal) => {
        if (text.includes('in')) signal('SIGKILL')
      },
    })
    assert.equal(killed.signal, 'SIGKILL')
    // At any moment of the failure: each of these ends somewhere else in keeping it.
    for (let index = 0; index < 8; index += 1) {
      await lab.tsbuild(['build', '--progress=plain', context], {
        onStderr: (text, signal) => {
          if (/ERROR: process/.test(text)) setTimeout(() => signal('SIGKILL'), index * 3)
        },
      })
    }
    const last = await failing(lab, [context])
    assert.equal((await lab.tsbuild(['shell', last], { input: 'cat /f' })).stdout, 'one\n')
    assert.deepEqual(await lab.unfinished(), [])
    const whole = await Promise.all(
      (await kept(lab)).map((one) => readdir(join(lab.stateRoot, 'failed', one))),
    )
    for (const files of whole) assert.deepEqual(files.toSorted(), ['layer', 'step.json'])
  })
})

describe('a shell in a failed step of an ordinary user', function () {
  this.timeout(120_000)
  requires('root', 'userns')

  async function check(
    lab: Lab,
    user: { readonly name: string; readonly uid: number; readonly gid: number },
    rung: RegExp,
  ): Promise<void> {
    const home = join(lab.dir, 'home')
    await mkdir(home)
    for (const one of [lab.dir, home]) await chown(one, user.uid, user.gid)
    const ids = [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups']
    const run = async (args: readonly string[], options: CommandOptions = {}) =>
      await runCommand('/usr/bin/setpriv', [...ids, process.execPath, CLI, ...args], {
        cwd: lab.dir,
        ...options,
        env: { PATH: process.env['PATH'], HOME: home, USER: user.name },
      })
    const context = await simple(
      lab,
      'mkdir /d && touch /d/f && chown -R 7:8 /d && chmod 700 /d && false',
    )
    const built = await run([...KEEPING, context])
    assert.equal(built.status, 1, built.text)
    assert.match(built.stderr, rung)
    const shell = await run(['shell'], { input: 'stat -c "%n %u:%g %a" /d /d/f' })
    assert.equal(shell.stdout, '/d 7:8 700\n/d/f 7:8 644\n', shell.stderr)
    const pruned = await run(['prune', '-af'])
    assert.equal(pruned.status, 0, pruned.text)
    assert.deepEqual(await readdir(join(home, '.local/share/tsbuild/failed')), [])
    assert.deepEqual(await readdir(join(home, '.local/share/tsbuild/work/trash')), [])
  }

  it('works with subordinate ids', async () => {
    await using lab = await Lab.open()
    await check(lab, await ordinaryUser(), /exit code: 1/)
  })

  it('works with a single id', async () => {
    await using lab = await Lab.open()
    await check(lab, { name: 'nobody', uid: 65534, gid: 65534 }, /single user id/)
  })
})
