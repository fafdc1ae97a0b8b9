import assert from 'node:assert/strict'
import { requires } from '../../snapshotter/testing/requires.ts'
import { Lab } from './lab/lab.ts'
import { asUserWithIds, runIn } from './lab/places.ts'
import { labRegistry } from './lab/registry.ts'

/** An ordinary user in a container whose runtime covers a file of /proc, as Docker and Kubernetes do. */
async function inContainer(lab: Lab): Promise<readonly string[]> {
  const cover = 'mount --bind /dev/null /proc/version && exec "$@"'
  return ['unshare', '--mount', 'sh', '-c', cover, 'sh', ...(await asUserWithIds(lab))]
}

describe('steps where files of /proc are covered', function () {
  this.timeout(60_000)
  requires('steps')
  requires('root')

  it('have the /proc of the container, whose kernel grants them no other, and one notice says so', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: [
        `FROM ${host}/library/busybox`,
        'RUN test -r /proc/self/status && test "$(readlink /proc/self/cwd)" = / && echo to-fd > /dev/stdout',
        'RUN ! echo x > /proc/sys/kernel/hostname && test -z "$(cat /proc/version)"',
      ].join('\n'),
    })
    const result = await runIn(lab, inContainer, ['build', '--progress=plain', context])
    assert.equal(result.status, 0, result.text)
    assert.match(result.text, /to-fd/)
    const notices = result.text.match(/NOTE: steps have this container's \/proc .*systempaths/g)
    assert.equal(notices?.length, 1, result.text)
  })

  it('see other processes there, and reach into none of them', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const shared = 'RUN --mount=type=cache,id=meeting,target=/meet'
    const context = await lab.context({
      Dockerfile: [
        `FROM ${host}/library/busybox AS seen`,
        `${shared} <<EOF`,
        'set -e; mkfifo /meet/go; touch /meet/here',
        'sh -c "cat /meet/go" a-name-to-be-found',
        'touch /made',
        'EOF',
        `FROM ${host}/library/busybox AS looking`,
        `${shared} <<EOF`,
        'until test -e /meet/here; do usleep 10000; done',
        'grep -q a-name-to-be-found /proc/[0-9]*/cmdline 2>/dev/null && echo FOUND',
        'mine=$(readlink /proc/self/ns/mnt)',
        'for p in /proc/[0-9]*; do',
        '  for file in root/ environ cwd/ mem; do',
        '    test -r $p/$file && head -c 1 $p/$file >/dev/null 2>&1 || ls $p/$file/. >/dev/null 2>&1 || continue',
        '    test "$(readlink $p/ns/mnt)" = "$mine" || echo "REACHED $file of $(cat $p/cmdline)"',
        '  done',
        'done',
        'echo go > /meet/go; touch /made',
        'EOF',
        'FROM scratch',
        'COPY --from=seen /made /seen',
        'COPY --from=looking /made /looking',
      ].join('\n'),
    })
    const result = await runIn(lab, inContainer, ['build', '--progress=plain', context])
    assert.equal(result.status, 0, result.text)
    assert.match(result.text, / FOUND$/m)
    assert.doesNotMatch(result.text, / REACHED (root|environ|cwd|mem)/)
  })
})
