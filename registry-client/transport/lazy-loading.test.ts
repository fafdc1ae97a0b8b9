import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'

describe('the registry client', () => {
  it('does not load undici before it sends something', () => {
    const index = new URL('../index.js', import.meta.url).href
    const script = `
      const { RegistryClient } = await import(${JSON.stringify(index)})
      const client = new RegistryClient()
      const { createRequire } = await import('node:module')
      const loaded = Object.keys(createRequire(${JSON.stringify(index)}).cache)
      process.stdout.write(JSON.stringify(loaded.filter((path) => path.includes('undici'))))
      await client[Symbol.asyncDispose]()`
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script])
    assert.equal(stdout.toString(), '[]', stderr.toString())
  })
})
