import assert from 'node:assert/strict'
import { requires } from '../../snapshotter/testing/requires.ts'
import { OrdinaryUser } from './testing/ordinary-user.ts'

interface Seen {
  readonly rung: string
  readonly driver: string
  readonly notice: string
  readonly made: { readonly exitCode: number; readonly stdout: string; readonly stderr: string }
  readonly entries: readonly string[]
}

describe('the worker of a user without subordinate ids', function () {
  this.timeout(60_000)
  requires('userns')
  let user: OrdinaryUser
  before(async () => {
    user = await OrdinaryUser.open()
  })
  after(async () => {
    await user?.[Symbol.asyncDispose]()
  })

  async function see(script: string, as = ''): Promise<Seen> {
    const { status, stdout, stderr } = await user.run(
      'builder/worker/testing/single-id-script.js',
      [as, script],
    )
    assert.equal(status, 0, stderr)
    const seen = JSON.parse(stdout) as Seen
    assert.equal(seen.made.exitCode, 0, seen.made.stderr)
    return seen
  }

  it('says which rung it is on and what it would take to be better', async () => {
    const { rung, driver, notice } = await see('true')
    assert.deepEqual([rung, driver], ['userns-single-id', 'overlay'])
    assert.match(notice, /^newuidmap is not installed, so .* single user id.*install the uidmap/)
  })

  it('writes into the layer who owns what, also of links, pipes and devices, and unpacks it so', async () => {
    const { made, entries } = await see(
      [
        'mkdir /w; cd /w; echo 1 > f; chown 1000:1001 f; chmod 4755 f; ln -s f l; chown -h 33:34 l',
        'mkfifo p; chown 7 p; mknod n c 1 3; mkdir d; chown 5:6 d; chmod 2775 d; touch d/in d/out',
        'chown 0:0 d/out; touch r; stat -c "%n %u:%g %F" d f l n p r',
      ].join('; '),
    )
    assert.deepEqual(made.stdout.split('\n').slice(0, 6), [
      'd 5:6 directory',
      'f 1000:1001 regular file',
      'l 33:34 symbolic link',
      'n 0:0 character special file',
      'p 7:0 fifo',
      'r 0:0 regular empty file',
    ])
    assert.deepEqual(entries.slice(0, 9), [
      'dir w 0:0 755',
      'dir w/d 5:6 2775',
      'file w/d/in 0:6 644',
      'file w/d/out 0:0 644',
      'file w/f 1000:1001 4755',
      'symlink w/l 33:34 777',
      'char w/n 0:0 644 1,3',
      'fifo w/p 7:0 644',
      'file w/r 0:0 644',
    ])
    assert.ok(entries.includes('./f 1000:1001 regular file'), entries.join('\n'))
    assert.ok(entries.includes('./n 0:0 character special file'), entries.join('\n'))
  })

  it('gives what a USER makes to that user', async () => {
    const { made, entries } = await see(
      'id; cd /tmp; umask 027; mkdir m; touch m/f; ln -s f m/l; mkfifo m/p; mknod m/c c 1 3 || echo refused; chown 5 m/f || echo kept',
      'app',
    )
    assert.equal(
      made.stdout,
      'uid=1000(app) gid=1001(app) groups=1001(app),10(wheel),29(audio)\nrefused\nkept\n',
    )
    assert.deepEqual(
      entries.filter((line) => line.includes(' tmp/')),
      [
        'dir tmp/m 1000:1001 750',
        'file tmp/m/f 1000:1001 640',
        'symlink tmp/m/l 1000:1001 777',
        'fifo tmp/m/p 1000:1001 640',
      ],
    )
  })

  it('lets programs change their ids as the kernel would', async () => {
    const { made, entries } = await see(
      [
        'mkdir /w; cd /w; su app -c "touch a; id -u; (sleep 0; touch b) & wait"; id -u',
        'mkdir u; cp /bin/busybox u/id; chmod 4755 u/id; su app -c "u/id -u"',
        'cp /bin/busybox u/touch; chown 1000:1001 u/touch; chmod 4755 u/touch; u/touch c',
      ].join('; '),
    )
    // busybox gives up what a set-user-id bit gives it, but for the applets that need it.
    assert.match(made.stdout, /^1000\n0\n(0|1000)\n$/)
    assert.deepEqual(
      entries.filter((line) => /^file w\/[ab]/.test(line)),
      ['file w/a 1000:1001 644', 'file w/b 1000:1001 644'],
    )
  })
})
