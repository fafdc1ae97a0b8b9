import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { serveHttp } from '../ops/testing/http-server.ts'
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

  it('takes only what filters name, and as much as space is asked for', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nRUN --mount=type=cache,target=/c echo x > /c/f; echo y > /y\n`,
    })
    await lab.build(['-t', 'app', context])
    const kinds = async (): Promise<Map<string, { id: string; type: string }[]>> => {
      const { stdout } = await lab.tsbuild(['du', '--format', 'json'])
      const { records }: { records: { id: string; type: string }[] } = JSON.parse(stdout)
      const byType = new Map<string, typeof records>()
      for (const one of records) byType.set(one.type, [...(byType.get(one.type) ?? []), one])
      return byType
    }
    await prune(lab, '--min-free-space', '1')
    await prune(lab, '--all', '--max-used-space', '1', '--reserved-space', '1t')
    await prune(lab, '--all', '--filter', 'type=download')
    const before = await kinds()
    assert.equal(before.get('cache-mount')?.length, 1)
    await prune(lab, '--filter', 'type=exec.cachemount')
    const after = await kinds()
    assert.equal(after.get('cache-mount'), undefined)
    assert.deepEqual(after.get('step'), before.get('step'))
    const [step = assert.fail('no step')] = after.get('step') ?? []
    await prune(lab, '--all', '--filter', `id=${step.id}`)
    assert.equal((await kinds()).get('step'), undefined)
    await prune(lab, '--all', '--images', '--min-free-space', '1000000t')
    assert.deepEqual([...(await kinds()).keys()], [])
    for (const filter of ['type=frob', 'until', 'frob=1']) {
      assert.equal((await lab.tsbuild(['prune', '-f', '--filter', filter])).status, 2, filter)
    }
  })

  it('frees what steps of a type hold, though an index leads to them', async () => {
    await using lab = await Lab.open()
    const lines = ['FROM scratch AS a', 'COPY one /one', 'FROM scratch', 'COPY --from=a /one /two']
    const context = await lab.context({ Dockerfile: lines.join('\n'), one: 'x'.repeat(1000) })
    await lab.build(['-o', 'type=cacheonly', context])
    await prune(lab, '--filter', 'type=step')
    const { stdout } = await lab.tsbuild(['du', '--format', 'json'])
    const { records }: { records: { type: string; sizeBytes: number }[] } = JSON.parse(stdout)
    assert.deepEqual([...new Set(records.map(({ type }) => type))], ['index'])
    assert.deepEqual(await readdir(join(lab.stateRoot, 'layers/records')), [])
  })

  it('leaves a cache mount alone that a build has used', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    let [tellReady, release] = [(): void => {}, (): void => {}]
    const ready = new Promise<void>((resolve) => (tellReady = resolve))
    const released = new Promise<void>((resolve) => (release = resolve))
    // The step tells that it has the mount, and waits until everything was pruned.
    await using server = await serveHttp((_request, response) => {
      tellReady()
      void released.then(() => response.end())
    })
    const step = `echo x > /c/f && wget -qO- http://${server.host} && cat /c/f`
    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nRUN --mount=type=cache,target=/c ${step}\n`,
    })
    const building = lab.build(['--network=host', '--allow=network.host', context])
    await Promise.race([ready, building])
    await prune(lab, '--all', '--images')
    release()
    await building
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
