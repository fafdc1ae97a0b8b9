import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkDevices } from './cdi-devices.ts'

describe('checkDevices', () => {
  const optional = [{ name: 'vendor.test/gpu=all', required: false }]
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-cdi-'))
  })
  afterEach(async () => {
    await rm(directory, { recursive: true })
  })

  it('leaves out a device that need not be there and that nothing describes', () => {
    checkDevices(optional, [directory, join(directory, 'missing')])
    checkDevices([], [directory])
  })

  it('refuses one that is required, or that this machine may have', async () => {
    const required = [{ name: 'vendor.test/gpu=all', required: true }]
    const refused = { code: 'unsupported', message: /device vendor\.test\/gpu=all: CDI devices/ }
    assert.throws(() => checkDevices(required, [directory]), refused)
    await writeFile(join(directory, 'gpu.yaml'), 'cdiVersion: 0.6.0\n')
    assert.throws(() => checkDevices(optional, [directory]), refused)
  })
})
