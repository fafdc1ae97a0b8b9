import assert from 'node:assert/strict'
import { toKernelError } from './addon.ts'
import { KernelError } from './kernel-error.ts'

describe('toKernelError', () => {
  it('says what the addon says, with the path and the system call', () => {
    const failure = Object.assign(new Error('No such file'), {
      syscall: 'openat2',
      errno: 2,
      code: 'ENOENT',
      path: '/a',
    })
    const error = toKernelError(failure, 'scan the tree')
    assert.ok(error instanceof KernelError)
    assert.equal(error.message, "could not scan the tree '/a': No such file (openat2: ENOENT)")
    assert.equal(error.code, 'ENOENT')
  })

  it('names the archive alone where no entry of it is known', () => {
    const failure = Object.assign(new Error('it ends'), {
      syscall: '',
      errno: 0,
      code: 'bad-archive',
      path: '',
    })
    const error = toKernelError(failure, "unpack 'a.tar', at")
    assert.ok(error instanceof KernelError)
    assert.equal(error.message, "could not unpack 'a.tar': it ends")
  })

  it('passes a finished error through: that the addon is not built', () => {
    const missing = new KernelError('addon-missing', 'could not load the native addon', {
      syscall: undefined,
      errno: undefined,
      path: undefined,
    })
    assert.equal(toKernelError(missing, 'lock'), missing)
  })
})
