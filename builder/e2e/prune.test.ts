import assert from 'node:assert/strict'
import { requires } from '../../snapshotter/testing/requires.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

async function names(lab: Lab): Promise<string[]> {
  const { stdout } = await lab.tsbuild(['images', '--format', '{{.Repository}}:{{.Tag}}'])
  return stdout.split('\n').filter((line) => line !== '')
}

async function prune(lab: Lab, ...flags: string[]): Promise<void> {
  const result = await lab.tsbuild(['prune', '-f', ...flags])
  assert.equal(result.status, 0, result.text)
}

describe('tsbuild prune', () => {
  requires('steps')

  it('takes base images with --all when only builds have pulled them, and names with --images', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const base = `${host}/library/busybox:latest`
    const context = await lab.context({ Dockerfile: `FROM ${base}\nRUN echo one > /f\n` })
    await lab.build(['-t', 'app', context])
    await prune(lab)
    assert.deepEqual((await names(lab)).toSorted(), [base, 'app:latest'].toSorted())
    await prune(lab, '--all')
    assert.deepEqual(await names(lab), ['app:latest'])
    // Its own copy of the base's layers stays whole.
    const run = await lab.tsbuild(['run', '-q', 'app', 'cat', '/f'])
    assert.equal(run.stdout, 'one\n', run.text)
    await lab.build(['-t', 'app', context])
    assert.equal((await lab.tsbuild(['pull', base])).status, 0)
    await prune(lab, '--all')
    assert.deepEqual((await names(lab)).toSorted(), [base, 'app:latest'].toSorted())
    await prune(lab, '--images')
    assert.deepEqual(await names(lab), [])
    const { stdout } = await lab.tsbuild(['du', '--format', 'json'])
    assert.equal(JSON.parse(stdout).totalBytes, 0)
  })

  it('keeps a base that was given another name', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const base = `${host}/library/busybox:latest`
    await lab.build(['-t', 'app', await lab.context({ Dockerfile: `FROM ${base}\n` })])
    assert.equal((await lab.tsbuild(['tag', base, 'mine'])).status, 0)
    await prune(lab, '--all')
    assert.deepEqual(await names(lab), ['app:latest', 'mine:latest'])
  })

  it('names what was typed when an image is missing', async () => {
    await using lab = await Lab.open()
    const result = await lab.tsbuild(['inspect', 'nothing'])
    assert.match(
      result.stderr,
      /could not find image nothing \(docker\.io\/library\/nothing:latest\): the store holds no such/,
    )
  })
})
