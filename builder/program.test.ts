import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { codeFile } from './program.ts'

describe('the code that V8 made of the command line', () => {
  const bundle = fileURLToPath(new URL('../bundle/cli.cjs', import.meta.url))

  it('is there for this program of node, which accepts it', () => {
    // In a process of its own: V8 accepts it under the options that it was made under, and tests here change some.
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--print', `(${isAccepted.toString()})(...process.argv.slice(1))`, bundle, codeFile(bundle)],
      { encoding: 'utf8', env: {} },
    )
    assert.equal(`${stdout}${stderr}`, 'true\n')
  })

  it('is not that of another release of node', () => {
    const name = codeFile(bundle)
    assert.ok(name.startsWith(`${bundle}.`))
    assert.ok(name.includes(`${process.version}-${process.arch}-`), name)
  })
})

/** Serialised: names nothing outside. */
function isAccepted(bundle: string, code: string): boolean {
  const { readFileSync } = process.getBuiltinModule('node:fs')
  const { Script } = process.getBuiltinModule('node:vm')
  const source = readFileSync(bundle, 'latin1')
  const script = new Script(
    `(function (exports, require, module, __filename, __dirname) {${source}\n})`,
    { filename: bundle, cachedData: readFileSync(code) },
  )
  return script.cachedDataRejected === false
}
