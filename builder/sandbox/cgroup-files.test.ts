import assert from 'node:assert/strict'
import { writeGroupFile } from './cgroup-files.ts'

describe('writeGroupFile', () => {
  it('tells a value that the kernel refuses from a file that may not be written', async () => {
    // Takes -1000 to 1000, from everybody.
    const file = '/proc/self/oom_score_adj'
    await assert.rejects(writeGroupFile(file, '99999'), {
      code: 'sandbox-limit-unsupported',
      message: /could not write "99999" to .*: EINVAL; the kernel does not take this value/,
    })
    await assert.rejects(writeGroupFile('/proc/self/none', '1'), {
      code: 'sandbox-limit-unsupported',
      message: /limits need control groups that may be written/,
    })
  })
})
