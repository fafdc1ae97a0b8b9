import assert from 'node:assert/strict'
import { settingsV1, settingsV2 } from './cgroup-settings.ts'

describe('cgroup settings', () => {
  it('are none for no limits', () => {
    assert.deepEqual(settingsV1({}), [])
    assert.deepEqual(settingsV2({}), [])
  })

  it('split memory and swap in version 2, where Docker adds them up', () => {
    const written = settingsV2({ memoryBytes: 100, memorySwapBytes: 150 }).map(
      ({ file, value }) => `${file}=${value}`,
    )
    assert.deepEqual(written, ['memory.max=100', 'memory.swap.max=50'])
    assert.deepEqual(settingsV2({ memorySwapBytes: -1 }), [
      { controller: 'memory', file: 'memory.swap.max', value: 'max' },
    ])
  })

  it('turn shares into weights', () => {
    const weightOf = (cpuShares: number): string | undefined => settingsV2({ cpuShares })[0]?.value
    assert.deepEqual([2, 1024, 262_144].map(weightOf), ['1', '39', '10000'])
  })

  it('write a quota with its period', () => {
    assert.deepEqual(settingsV2({ cpuQuotaUs: 50_000 })[0]?.value, '50000 100000')
    assert.deepEqual(settingsV2({ cpuPeriodUs: 20_000 })[0]?.value, 'max 20000')
    const v1 = settingsV1({ cpuQuotaUs: 5, cpuPeriodUs: 6, cpusetCpus: '0-1', pidsMax: 7 })
    assert.deepEqual(
      v1.map(({ file, value }) => `${file}=${value}`),
      ['cpu.cfs_period_us=6', 'cpu.cfs_quota_us=5', 'cpuset.cpus=0-1', 'pids.max=7'],
    )
  })
})
