import assert from 'node:assert/strict'
import { chown, mkdir } from 'node:fs/promises'
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { CLI, runCommand } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'
import { ordinaryUser } from './lab/user.ts'

const CGROUPS = '/sys/fs/cgroup'
const IS_V2 = existsSync(join(CGROUPS, 'cgroup.controllers'))
const PARENT = `tsbuild-test-${process.pid}`

async function busybox(run: string, lab: Lab): Promise<string> {
  const { host } = await labRegistry()
  return await lab.context({ Dockerfile: `FROM ${host}/library/busybox\nRUN ${run}\n` })
}

/** A file of the only control group below ours. */
function groupFile(controller: string, name: string): string {
  const parent = IS_V2 ? join(CGROUPS, PARENT) : join(CGROUPS, controller, PARENT)
  const [group = ''] = readdirSync(parent, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
  return readFileSync(join(parent, group, name), 'utf8').trim()
}

describe('limits of RUN', function () {
  this.timeout(120_000)
  requires('root')
  after(() => {
    for (const controller of IS_V2 ? [''] : ['memory', 'cpu', 'cpuset', 'pids']) {
      const parent = join(CGROUPS, controller, PARENT)
      if (existsSync(parent)) rmdirSync(parent)
    }
  })

  it('end a step that uses more memory, which says limit and peak', async () => {
    await using lab = await Lab.open()
    const context = await busybox('head -c 200m /dev/zero | tail -c 200m | wc -c; exit 137', lab)
    const limits = ['--memory=24m', '--memory-swap=24m']
    const { status, text } = await lab.tsbuild(['build', ...limits, context])
    assert.equal(status, 1)
    assert.match(text, /cannot allocate memory \(limit 24\.0 MiB, peak 2[34]\.\d MiB\)/)
  })

  it('are in the control group of the step, which is slowed down', async () => {
    await using lab = await Lab.open()
    const burn = 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'
    const context = await busybox(`${burn}; echo burnt; sleep 1000`, lab)
    const limits = ['--cpus=0.2', '--cpu-shares=512', '--cpuset-cpus=0', '--pids-limit=20', '-m64m']
    const seen: string[] = []
    let stat = ''
    const result = await lab.tsbuild(
      ['build', '--progress=plain', `--cgroup-parent=${PARENT}`, ...limits, context],
      {
        onStderr: (text, signal) => {
          if (seen.length > 0 || !/ burnt$/m.test(text)) return
          const quota = IS_V2
            ? groupFile('cpu', 'cpu.max')
            : `${groupFile('cpu', 'cpu.cfs_quota_us')} ${groupFile('cpu', 'cpu.cfs_period_us')}`
          const shares = IS_V2 ? groupFile('cpu', 'cpu.weight') : groupFile('cpu', 'cpu.shares')
          const memory = groupFile('memory', IS_V2 ? 'memory.max' : 'memory.limit_in_bytes')
          seen.push(quota, shares, memory)
          seen.push(groupFile('cpuset', 'cpuset.cpus'), groupFile('pids', 'pids.max'))
          stat = groupFile('cpu', 'cpu.stat')
          signal('SIGINT')
        },
      },
    )
    assert.equal(result.status, 130, result.text)
    assert.deepEqual(seen, ['20000 100000', IS_V2 ? '20' : '512', String(64 << 20), '0', '20'])
    assert.match(stat, /^nr_throttled [1-9]/m)
  })

  it('let a step have no more processes', async () => {
    await using lab = await Lab.open()
    const context = await busybox('for i in 1 2 3 4 5 6 7 8 9 10; do sleep 100 & done', lab)
    const { status, text } = await lab.tsbuild(['build', '--pids-limit=5', context])
    assert.equal(status, 1, text)
    assert.match(text, /can't fork: Resource temporarily unavailable/)
    assert.equal((await lab.tsbuild(['build', '--pids-limit=-1', context])).status, 0)
  })

  it('are those of setrlimit, and the size of /dev/shm', async () => {
    await using lab = await Lab.open()
    const script =
      'ulimit -Sn; ulimit -Hn; grep " /dev/shm " /proc/mounts; head -c 2m /dev/zero > /dev/shm/f || echo full'
    const args = ['--ulimit', 'nofile=99:101', '--shm-size=1m', await busybox(script, lab)]
    const { stderr } = await lab.build(args)
    assert.match(stderr, / 99\n.* 101\n/)
    assert.match(stderr, /size=1024k/)
    assert.match(stderr, /full$/m)
  })

  it('are refused to an ordinary user, with what would help', async () => {
    await using lab = await Lab.open()
    const { name, uid, gid } = await ordinaryUser()
    const home = join(lab.dir, 'home')
    await mkdir(home)
    await chown(home, uid, gid)
    await chown(lab.dir, uid, gid)
    const context = await busybox('true', lab)
    const ids = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups']
    const build = [process.execPath, CLI, 'build', '--memory=64m', context]
    const env = { PATH: process.env['PATH'], HOME: home, USER: name }
    const { status, text } = await runCommand('setpriv', [...ids, ...build], { cwd: home, env })
    assert.equal(status, 1)
    assert.match(
      text,
      /could not limit the step: could not make control group .*: E[A-Z]+; .*run as root/,
    )
    const pruned = [process.execPath, CLI, 'prune', '-af']
    await runCommand('setpriv', [...ids, ...pruned], { cwd: home, env })
  })
})

describe('tsbuild history --steps', function () {
  this.timeout(60_000)
  requires('steps')

  it('tells the processor time and memory of what ran here, also when it comes from the cache', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({
      Dockerfile: [
        `FROM ${(await labRegistry()).host}/library/busybox`,
        'RUN head -c 10m /dev/zero | md5sum > /sum',
        'COPY Dockerfile /',
      ].join('\n'),
    })
    for (const tag of ['first', 'again']) {
      await lab.build(['-t', tag, context])
      const { stdout } = await lab.tsbuild(['history', '--steps', '--format', 'json', tag])
      const [copy, run] = stdout.split('\n', 2).map((line) => JSON.parse(line))
      assert.match(run.CPU, /^\d+\.\ds$/)
      assert.match(run.Memory, /^\d.*B$/)
      assert.deepEqual([copy.CPU, copy.Memory], ['', ''])
    }
    const { stdout } = await lab.tsbuild(['history', '--steps', 'again'])
    assert.match(stdout, /^IMAGE .* SIZE +CPU +MEMORY +COMMENT\n/)
  })
})
