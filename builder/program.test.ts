import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Script } from 'node:vm'
import { codeFile } from './program.ts'

describe('the code that V8 made of the command line', () => {
  const bundle = fileURLToPath(new URL('../bundle/cli.cjs', import.meta.url))

  it('is there for this program of node, which accepts it', () => {
    const source = readFileSync(bundle, 'latin1')
    const script = new Script(
      `(function (exports, require, module, __filename, __dirname) {${source}\n})`,
      { filename: bundle, cachedData: readFileSync(codeFile(bundle)) },
    )
    assert.equal(script.cachedDataRejected, false)
  })

  it('is not that of another release of node', () => {
    const name = codeFile(bundle)
    assert.ok(name.startsWith(`${bundle}.`))
    assert.ok(name.includes(`${process.version}-${process.arch}-`), name)
  })
})
