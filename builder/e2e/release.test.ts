import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { requires } from '../../snapshotter/testing/requires.ts'
import { mustRun, PROJECT, runCommand } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

describe('a release', function () {
  this.timeout(120_000)
  requires('steps')

  it('is installed without network, compiler or other packages, and builds', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const script = pathToFileURL(join(PROJECT, '.ci', 'release.mjs')).href
    const made = await mustRun(process.execPath, [
      '--input-type=module',
      '-e',
      `const { release } = await import(${JSON.stringify(script)}); release(${JSON.stringify(lab.dir)})`,
    ])
    const prefix = join(lab.dir, 'prefix')
    await mkdir(prefix)
    await mustRun('npm', ['install', '-g', '--offline', '--prefix', prefix, made.stdout.trim()])

    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nRUN echo made > /made\nCMD cat /made\n`,
    })
    const tsbuild = (...args: string[]) =>
      runCommand(join(prefix, 'bin', 'tsbuild'), args, { env: lab.env() })
    const built = await tsbuild('-t', 'app', context)
    assert.equal(built.status, 0, built.text)
    const ran = await tsbuild('run', '--rm', '-q', 'app')
    assert.equal(ran.stdout, 'made\n', ran.text)
    assert.match((await tsbuild('--version')).stdout, /^tsbuild \d+\.\d+\.\d+ /)
  })
})
