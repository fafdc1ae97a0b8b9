import assert from 'node:assert/strict'
import type { StepRequest } from '../worker/protocol.ts'
import { DEFAULT_CAPABILITIES } from './docker-defaults.ts'
import { encodeSpec } from './encode-spec.ts'
import { orderedMounts, type SandboxSpec, sandboxSpec, type SpecMount } from './spec.ts'

const REQUEST: StepRequest = {
  layers: [],
  args: ['true'],
  env: ['A=1'],
  cwd: '',
  user: '',
  hostname: 'h',
  network: 'default',
  security: 'sandbox',
  mounts: [],
  extraHosts: [],
  ulimits: [{ name: 'nofile', soft: 10, hard: 20 }],
  shmSizeBytes: 1024,
  cgroupProcs: [],
  stdio: 'captured',
  commitTo: undefined,
}

function specOf(
  request: Partial<StepRequest>,
  mounts: readonly SpecMount[] = [],
  more: { readonly ownLimits: string } = { ownLimits: '' },
): SandboxSpec {
  return sandboxSpec(
    { ...REQUEST, ...request },
    {
      root: { type: 'bind', dir: '/r' },
      mounts,
      network: { kind: 'shared' },
      hosts: 'hosts\n',
      resolvConf: 'resolv\n',
      hasCgroupNamespace: true,
      recordsOwners: false,
      isChroot: false,
      ...more,
    },
  )
}

const tmpfs = (target: string, sizeBytes?: number): SpecMount => ({
  type: 'tmpfs',
  target,
  sizeBytes,
  isReadonly: false,
})

describe('sandboxSpec', () => {
  it("gives a step Docker's 14 capabilities, masks and filter", () => {
    const spec = specOf({})
    // CapEff of a RUN under BuildKit v0.25.
    assert.equal(spec.capabilities, 0xa80425fbn)
    assert.equal(spec.capabilities, DEFAULT_CAPABILITIES)
    assert.equal(spec.isConfined, true)
    assert.ok(spec.maskedPaths.includes('/proc/kcore'))
    assert.ok(spec.readonlyPaths.includes('/proc/sys'))
    assert.equal(spec.cwd, '/')
    assert.deepEqual(spec.limits, [{ resource: 7, soft: 10, hard: 20 }])
  })

  it('takes all of that away only for the exact word insecure', () => {
    assert.equal(specOf({ security: 'insecure' }).isConfined, false)
    assert.deepEqual(specOf({ security: 'insecure' }).maskedPaths, [])
    // GHSA-7236-3392-c5c6: a mode that is not known must not be the lax one.
    const unknown = { security: 'Insecure ' } as unknown as Partial<StepRequest>
    assert.throws(() => specOf(unknown), {
      code: 'sandbox-setup-failed',
      message: /unknown security mode "Insecure "/,
    })
  })

  it('refuses a limit that the kernel does not have', () => {
    assert.throws(() => specOf({ ulimits: [{ name: 'nofiles', soft: 1, hard: 1 }] }), {
      code: 'sandbox-limit-unsupported',
    })
  })

  it('caps open files where more are inherited than programs can do with, unless asked for', () => {
    const inherited = 'Max open files            1024                 1073741816           files\n'
    const of = (ulimits: StepRequest['ulimits'], ownLimits: string): SandboxSpec['limits'] =>
      specOf({ ulimits }, [], { ownLimits }).limits
    assert.deepEqual(of([], inherited), [{ resource: 7, soft: 1024, hard: 1_048_576 }])
    const unlimited = inherited.replace(/\d+ +\d+/, 'unlimited unlimited')
    assert.deepEqual(of([], unlimited), [{ resource: 7, soft: 1_048_576, hard: 1_048_576 }])
    const asked = { name: 'nofile', soft: 5, hard: 2_000_000 }
    assert.deepEqual(of([asked], inherited), [{ resource: 7, soft: 5, hard: 2_000_000 }])
    assert.deepEqual(of([], inherited.replace('1073741816', '1048576')), [])
  })

  it('lets a mount on /etc/hosts replace the one that every step gets', () => {
    const targets = specOf({}, [tmpfs('/etc/hosts')]).mounts.map(
      ({ target, type }) => `${target} ${type}`,
    )
    assert.deepEqual(targets, ['/etc/resolv.conf file', '/etc/hosts tmpfs'])
  })
})

describe('orderedMounts', () => {
  it('mounts parents first, whatever the order written', () => {
    const targets = orderedMounts([], [tmpfs('/a/b/c'), tmpfs('/z'), tmpfs('/a')]).map(
      ({ target }) => target,
    )
    assert.deepEqual(targets, ['/a', '/a/b/c', '/z'])
  })

  it('keeps the last of two mounts on one target, however it is spelled', () => {
    const mounts = orderedMounts([], [tmpfs('/a/b', 1), tmpfs('/a//x/../b/', 2)])
    assert.deepEqual(mounts, [tmpfs('/a/b', 2)])
  })

  it('mounts on /etc over the files that every step has, and files into what is mounted', () => {
    const file = (target: string): SpecMount => ({
      type: 'file',
      target,
      content: Buffer.alloc(0),
      mode: 0o400,
      uid: 0,
      gid: 0,
    })
    const targets = orderedMounts([file('/etc/hosts')], [file('/a/secret'), tmpfs('/etc')])
    assert.deepEqual(
      targets.map(({ target }) => target),
      ['/etc/hosts', '/etc', '/a/secret'],
    )
  })

  it('refuses the root as a target', () => {
    for (const target of ['/', '', '/a/..', '../..']) {
      assert.throws(
        () => orderedMounts([], [tmpfs(target)]),
        { code: 'sandbox-mount-invalid' },
        target,
      )
    }
  })
})

describe('encodeSpec', () => {
  it('frames its body with a version and its length', () => {
    const bytes = encodeSpec(specOf({}))
    assert.equal(bytes.toString('latin1', 0, 4), 'TSB2')
    assert.equal(bytes.readUInt32LE(4), bytes.length - 8)
  })

  it('keeps what the step is given apart by lengths, so no text can pose as another field', () => {
    const encoded = encodeSpec(
      specOf({ args: ['a', 'b c'], env: ['PATH=/bin', 'X=\n=Y'] }),
    ).toString('latin1')
    assert.ok(encoded.includes('\x02\0\0\0\x01\0\0\0a\0\x03\0\0\0b c\0'))
    assert.ok(encoded.includes('\x05\0\0\0X=\n=Y\0'))
  })

  it('refuses a text with a NUL byte, whatever it is for', () => {
    for (const request of [{ args: ['a\0b'] }, { env: ['A=\0'] }, { user: '\0' }]) {
      assert.throws(() => encodeSpec(specOf(request)), {
        code: 'sandbox-setup-failed',
        message: /\\u0000.* has a NUL byte/,
      })
    }
  })
})
