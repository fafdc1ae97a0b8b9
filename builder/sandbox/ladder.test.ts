import assert from 'node:assert/strict'
import type { HostFacts } from './host-facts.ts'
import { hasCapability, idRanges } from './host-facts.ts'
import { chooseRung, explainStart, rungBelow } from './ladder.ts'

const ROOT: HostFacts = {
  uid: 0,
  gid: 0,
  userName: 'root',
  hasSysAdmin: true,
  hasSysChroot: true,
  hasNoNewPrivileges: false,
  ownIds: 4_294_967_295,
  userNamespacesMax: 1000,
  isUnprivilegedCloneAllowed: undefined,
  isAppArmorRestricting: false,
  newuidmap: undefined,
  newgidmap: undefined,
  subuids: [],
  subgids: [],
}
const RANGE = { start: 100_000, count: 65_536 }
const USER: HostFacts = {
  ...ROOT,
  uid: 1000,
  gid: 1001,
  userName: 'ann',
  hasSysAdmin: false,
  hasSysChroot: false,
  ownIds: undefined,
  newuidmap: '/usr/bin/newuidmap',
  newgidmap: '/usr/bin/newgidmap',
  subuids: [RANGE],
  subgids: [RANGE],
}

describe('chooseRung', () => {
  it('needs nothing as root', () => {
    assert.deepEqual(chooseRung(ROOT), { rung: 'root', options: [], notice: undefined })
  })

  it('maps root to the user and the rest to the range', () => {
    const { rung, options, notice } = chooseRung(USER)
    assert.equal(rung, 'userns-subids')
    assert.equal(notice, undefined)
    assert.deepEqual(options, [
      '--userns',
      ...['--newuidmap', '/usr/bin/newuidmap', '--uid-map', '0 1000 1 1 100000 65536'],
      ...['--newgidmap', '/usr/bin/newgidmap', '--gid-map', '0 1001 1 1 100000 65536'],
    ])
  })

  it('takes the largest of several ranges and says when it is small', () => {
    const small = {
      ...USER,
      subuids: [
        { start: 5, count: 10 },
        { start: 50, count: 999 },
      ],
    }
    const { options, notice } = chooseRung(small)
    assert.ok(options.includes('0 1000 1 1 50 999'))
    assert.match(notice ?? '', /^only 1000 user ids/)
  })

  const singles: readonly (readonly [string, HostFacts, RegExp])[] = [
    [
      'newuidmap is missing',
      { ...USER, newuidmap: undefined },
      /^newuidmap is not installed, so .*\(install the uidmap package/,
    ],
    ['newgidmap is missing', { ...USER, newgidmap: undefined }, /^newgidmap is not installed/],
    [
      '/etc/subuid has no range',
      { ...USER, subuids: [] },
      /^\/etc\/subuid has no range of ids for ann, .*\(as root: usermod --add-subuids/,
    ],
    [
      '/etc/subgid has no range',
      { ...USER, subgids: [] },
      /^\/etc\/subgid has no range .* usermod --add-subgids/,
    ],
  ]
  for (const [name, facts, words] of singles) {
    it(`does with a single id when ${name}, and says so`, () => {
      const { rung, options, notice } = chooseRung(facts)
      assert.equal(rung, 'userns-single-id')
      assert.deepEqual(options, ['--userns', '--uid-map', '0 1000 1', '--gid-map', '0 1001 1'])
      assert.match(notice ?? '', words)
    })
  }

  const refusals: readonly (readonly [string, HostFacts, RegExp])[] = [
    [
      'user namespaces are off',
      { ...USER, userNamespacesMax: 0 },
      /max_user_namespaces is 0\); as root: sysctl/,
    ],
    [
      'ordinary users may not make them',
      { ...USER, isUnprivilegedCloneAllowed: false },
      /unprivileged_userns_clone is 0/,
    ],
  ]
  for (const [name, facts, message] of refusals) {
    it(`says what to do when ${name}`, () => {
      assert.throws(() => chooseRung(facts), { code: 'sandbox-unavailable', message })
    })
  }
})

describe('explainStart', () => {
  const line = (step: string, errno: number): string =>
    `sandbox-init: ${step}: could not do it (errno ${errno}: Words)\n`

  it('blames AppArmor where it restricts ordinary users', () => {
    const error = explainStart(line('mounts', 13), { ...USER, isAppArmorRestricting: true })
    assert.match(error?.message ?? '', /apparmor_restrict_unprivileged_userns/)
  })

  it('tells a used-up limit from a forbidden call', () => {
    assert.match(
      explainStart(line('user-namespace', 28), USER)?.message ?? '',
      /max_user_namespaces/,
    )
    assert.match(explainStart(line('user-namespace', 1), USER)?.message ?? '', /seccomp/)
  })

  it('repeats what newuidmap said', () => {
    const error = explainStart(`newuidmap: uid range not allowed\n${line('id-map', 1)}`, USER)
    assert.match(error?.message ?? '', /newuidmap: uid range not allowed/)
  })

  it('keeps what it does not know', () => {
    assert.match(
      explainStart(line('protect', 5), USER)?.message ?? '',
      /protect: could not do it: Words/,
    )
    assert.equal(explainStart('Segmentation fault', USER), undefined)
  })
})

describe('rungBelow', () => {
  const line = (step: string, errno: number): string =>
    `newgidmap: write to gid_map failed: Operation not permitted\nsandbox-init: ${step}: x (errno ${errno}: Words)\n`

  it('is that of a single id when the helper may not write the map', () => {
    const below = rungBelow(chooseRung(USER), explainStart(line('id-map', 1), USER), USER)
    assert.equal(below?.rung, 'userns-single-id')
    assert.match(
      below.notice ?? '',
      /^the id map was refused \(newgidmap: .* not permitted\), so .* single user id: .*set-user-id root on a mount without nosuid/,
    )
    assert.equal(rungBelow(below, explainStart(line('id-map', 1), USER), USER), undefined)
  })

  it('names no_new_privs as the cause', () => {
    const facts = { ...USER, hasNoNewPrivileges: true }
    const below = rungBelow(chooseRung(facts), explainStart(line('id-map', 1), facts), facts)
    assert.match(below?.notice ?? '', /under no_new_privs, so .*--security-opt no-new-privileges/)
  })

  it('is none where AppArmor forbids the namespace, nor for another failure', () => {
    const guarded = { ...USER, isAppArmorRestricting: true }
    const refused = explainStart(line('id-map', 1), guarded)
    assert.equal(rungBelow(chooseRung(guarded), refused, guarded), undefined)
    const other = explainStart(line('protect', 5), USER)
    assert.equal(rungBelow(chooseRung(USER), other, USER), undefined)
  })

  it('is that of chroot where container root is refused namespaces', () => {
    const facts = { ...ROOT, hasSysAdmin: false }
    const below = rungBelow(chooseRung(facts), explainStart(line('mounts', 13), facts), facts)
    assert.equal(below?.rung, 'no-namespaces')
    assert.equal(rungBelow(below, explainStart(line('mounts', 13), facts), facts), undefined)
  })
})

describe('idRanges', () => {
  it('finds the ranges of a user by name and by number', () => {
    const text = 'ann:100000:65536\nbob:1:2\n# ann:3:4\n1000:700000:10\nann:x:1\n'
    assert.deepEqual(idRanges(text, { uid: 1000, userName: 'ann' }), [
      RANGE,
      { start: 700_000, count: 10 },
    ])
    assert.deepEqual(idRanges(text, { uid: 1000, userName: undefined }), [
      { start: 700_000, count: 10 },
    ])
  })
})

describe('hasCapability', () => {
  it('reads one bit of the effective set', () => {
    assert.equal(hasCapability('CapPrm:\tffff\nCapEff:\t0000000000200000\n', 21n), true)
    assert.equal(hasCapability('CapEff:\t00000000a80425fb\n', 21n), false)
    assert.equal(hasCapability('', 21n), false)
  })
})
