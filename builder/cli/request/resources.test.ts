import assert from 'node:assert/strict'
import { readArgs } from '../args.ts'
import { RESOURCE_FLAGS, readResources } from './resources.ts'

function read(...argv: string[]): ReturnType<typeof readResources> {
  return readResources(readArgs(argv, RESOURCE_FLAGS))
}

describe('readResources', () => {
  it('reads flags and --resource, which goes before them', () => {
    assert.deepEqual(read('-m', '1g', '-c', '512', '--resource', 'memory=2g,cpuset-cpus=0-1'), {
      memoryBytes: 2 * 1024 ** 3,
      cpuShares: 512,
      cpusetCpus: '0-1',
    })
  })

  it('makes a quota of a number of processors, and none of 0', () => {
    assert.deepEqual(read('--cpus=1.5'), { cpuPeriodUs: 100_000, cpuQuotaUs: 150_000 })
    assert.deepEqual(read('--cpus', '0'), {})
    assert.throws(() => read('--cpus=0.001'), /at least 0\.01/)
    assert.throws(() => read('--cpus=many'), /a number of processors/)
  })

  it('limits processes, and does not with -1 and 0', () => {
    assert.deepEqual(read('--pids-limit=5'), { pidsMax: 5 })
    assert.deepEqual([read('--pids-limit=0'), read('--pids-limit=-1')], [{}, {}])
  })

  it('reads lists of processors in --resource, where buildx has one limit in each', () => {
    assert.deepEqual(read('--resource', 'cpuset-cpus=0,2-3', '--resource', 'cpu-quota = 5000'), {
      cpusetCpus: '0,2-3',
      cpuQuotaUs: 5000,
    })
    assert.deepEqual(read('--resource', 'cpuset-mems=0,1,memory=1m'), {
      cpusetMems: '0,1',
      memoryBytes: 2 ** 20,
    })
    for (const wrong of ['memory', 'foo=1', 'memory=1m,foo=1', '=1', '']) {
      assert.throws(() => read('--resource', wrong), /it must be LIMIT=VALUE/, wrong)
    }
    assert.throws(() => read('--resource', 'cpuset-cpus=0,x'), /it must be a list/)
  })

  it('takes an empty list of processors, and a quota of -1, for no limit', () => {
    assert.deepEqual(read('--cpuset-cpus=', '--resource', 'cpuset-mems=', '--cpu-quota=-1'), {})
  })

  it('takes 0 for no limit, as docker does', () => {
    const zeros = ['-m=0', '--memory-swap=0', '-c=0', '--cpu-period=0', '--cpu-quota=0']
    assert.deepEqual(read(...zeros, '--resource', 'memory=0'), {})
  })
})
