import assert from 'node:assert/strict'
import { measure } from './command.ts'
import { BenchError } from './errors.ts'

const env = {}

describe('bench measurement', () => {
  it('sums up the memory of a process and of its children', async () => {
    const child =
      'const held = Buffer.alloc(60e6, 1); setTimeout(() => process.exit(held[0] - 1), 300)'
    const parent = `require('node:child_process').spawnSync(process.execPath, ['-e', ${JSON.stringify(child)}])`
    const { peakBytes } = await measure(
      { argv: [process.execPath, '-e', parent], env },
      { daemons: [] },
    )
    assert.ok(peakBytes !== undefined && peakBytes > 60e6, `${peakBytes}`)
    assert.ok(peakBytes < 400e6, `${peakBytes}`)
  })

  it('fails with the last words of a command that failed', async () => {
    const argv = [process.execPath, '-e', 'console.error("no such base"); process.exit(3)']
    await assert.rejects(
      measure({ argv, env }),
      (error: unknown) =>
        error instanceof BenchError && /status 3\nno such base/.test(error.message),
    )
  })
})
