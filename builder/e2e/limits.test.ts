import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { Lab } from './lab/lab.ts'
import { asSingleId, asUserWithIds, type Place, runIn } from './lab/places.ts'
import { labRegistry } from './lab/registry.ts'

const CGROUPS = '/sys/fs/cgroup'
const IS_V2 = existsSync(join(CGROUPS, 'cgroup.controllers'))
const PARENT = `tsbuild-test-${process.pid}`

async function busybox(run: string, lab: Lab): Promise<string> {
  const { host } = await labRegistry()
  return await lab.context({ Dockerfile: `FROM ${host}/library/busybox\nRUN ${run}\n` })
}

/** Enters a group of its own that belongs to who runs the rest: what a service manager does for `Delegate=yes`. */
const DELEGATE = `
  for group in ${IS_V2 ? CGROUPS : `${CGROUPS}/memory ${CGROUPS}/cpu ${CGROUPS}/pids`}; do
    test ! -e $group/cgroup.subtree_control || echo "+memory +cpu +pids" > $group/cgroup.subtree_control
    mkdir -p $group/${PARENT}
    echo 0 > $group/${PARENT}/cgroup.procs
    owner=$(echo "$*" | sed 's/.*--reuid=\\([0-9]*\\).*/\\1/')
    chown $owner $group/${PARENT} $group/${PARENT}/cgroup.procs
    test ! -e $group/${PARENT}/cgroup.subtree_control || chown $owner $group/${PARENT}/cgroup.subtree_control
  done
  exec "$@"`

/** The same in a group of version 2 to which no controller is passed down. */
const BARE = `
  mount -t cgroup2 none ${CGROUPS}
  group=${CGROUPS}/${PARENT}/bare
  mkdir -p $group
  echo 0 > $group/cgroup.procs
  owner=$(echo "$*" | sed 's/.*--reuid=\\([0-9]*\\).*/\\1/')
  chown $owner $group $group/cgroup.procs $group/cgroup.subtree_control
  exec "$@"`

/** A file of the only control group below ours. */
function groupFile(controller: string, name: string): string {
  const parent = IS_V2 ? join(CGROUPS, PARENT) : join(CGROUPS, controller, PARENT)
  const [group = ''] = readdirSync(parent, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
  return readFileSync(join(parent, group, name), 'utf8').trim()
}

/** Groups are directories whose files go with them. */
function removeGroups(path: string): void {
  if (!existsSync(path)) return
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeGroups(join(path, entry.name))
  rmdirSync(path)
}

describe('limits of RUN', function () {
  this.timeout(120_000)
  requires('root')
  afterEach(() => {
    for (const controller of IS_V2 ? [''] : ['memory', 'cpu', 'cpuset', 'pids', 'unified'])
      removeGroups(join(CGROUPS, controller, PARENT))
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

  it('are refused to an ordinary user to whom no group is delegated, with what would help', async () => {
    await using lab = await Lab.open()
    const build = ['build', '--memory=64m', await busybox('true', lab)]
    const { status, text } = await runIn(lab, asUserWithIds, build)
    assert.equal(status, 1)
    assert.match(text, /could not limit the step: .*: E[A-Z]+; .*-p Delegate=yes tsbuild/)
    await runIn(lab, asUserWithIds, ['prune', '-af'])
  })

  for (const [who, place] of [
    ['subordinate ids', asUserWithIds],
    ['a single id', asSingleId],
  ] as const) {
    it(`hold for the steps of an ordinary user with ${who} in a delegated group`, async () => {
      await using lab = await Lab.open()
      const context = await busybox('head -c 200m /dev/zero | tail -c 200m | wc -c; exit 137', lab)
      const limits = ['--memory=24m', '--memory-swap=24m', '--pids-limit=20', '--cpus=1.5']
      const delegated: Place = async (at) => ['sh', '-euc', DELEGATE, 'sh', ...(await place(at))]
      const { status, text } = await runIn(lab, delegated, ['build', ...limits, context])
      assert.equal(status, 1)
      assert.match(text, /cannot allocate memory \(limit 24\.0 MiB, peak 2[34]\.\d MiB\)/)
      await runIn(lab, place, ['prune', '-af'])
    })
  }

  it('are refused in a group of version 2 that has not their controllers, which are named', async () => {
    await using lab = await Lab.open()
    const bare: Place = async (at) => [
      ...['unshare', '--mount', 'sh', '-euc', BARE, 'sh'],
      ...(await asUserWithIds(at)),
    ]
    const context = await busybox('ls /sys/fs/cgroup', lab)
    const limited = await runIn(lab, bare, ['build', '--memory=64m', '--cpus=1', context])
    assert.equal(limited.status, 1)
    assert.match(
      limited.text,
      /control group \S+\/bare has no controllers memory, cpu \(it has none\); .*Delegate=memory cpu/,
    )
    const grouped = await runIn(lab, bare, [
      ...['build', '--progress=plain', `--cgroup-parent=${PARENT}/bare/more`, context],
    ])
    assert.equal(grouped.status, 0, grouped.text)
    assert.match(grouped.text, / cgroup\.procs$/m)
    await runIn(lab, asUserWithIds, ['prune', '-af'])
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
