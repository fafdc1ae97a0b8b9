import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'

const MODULE = new URL('run-process.js', import.meta.url).href

describe('runProcess', () => {
  it('lets many wait for its signal without a word from node', () => {
    const script = `
      import { setTimeout } from 'node:timers/promises'
      import { runProcess } from ${JSON.stringify(MODULE)}
      await runProcess(async ({ signal }) => {
        await Promise.all(Array.from({ length: 12 }, () => setTimeout(1, undefined, { signal })))
        return 3
      })`
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    })
    assert.equal(stderr, '')
    assert.equal(status, 3)
  })
})
