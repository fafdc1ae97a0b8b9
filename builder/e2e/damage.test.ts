import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestHex, digestOf } from '../../registry-client/oci/index.ts'
import { requires } from '../../snapshotter/testing/requires.ts'
import { serveHttp } from '../ops/testing/http-server.ts'
import { mustRun } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

/** Changes a bit in the middle of a file; its size stays. */
async function damage(path: string): Promise<void> {
  const bytes = await readFile(path)
  const middle = bytes.length >> 1
  bytes[middle] = (bytes[middle] ?? 0) ^ 1
  await chmod(path, 0o600)
  await writeFile(path, bytes)
}

/** All files of a directory of the state root. */
async function damageAll(lab: Lab, directory: string): Promise<void> {
  const path = join(lab.stateRoot, directory)
  for (const name of await readdir(path)) await damage(join(path, name))
}

/** Files of that name at the top of unpacked layers. */
async function unpacked(lab: Lab, name: string): Promise<string[]> {
  const directories = join(lab.stateRoot, 'layers/directories')
  const files = (await readdir(directories)).map((id) => join(directories, id, 'fs', name))
  return files.filter((file) => existsSync(file))
}

/** Blobs that are compressed: layers, not what describes them. Returns how many. */
async function damageLayers(lab: Lab): Promise<number> {
  const directory = join(lab.stateRoot, 'blobs/sha256')
  let count = 0
  for (const name of await readdir(directory)) {
    if ((await readFile(join(directory, name)))[0] !== 0x1f) continue
    await damage(join(directory, name))
    count += 1
  }
  return count
}

describe('a state root that is damaged', () => {
  requires('steps')

  it('costs time: what a build needs of it is fetched or made again', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const base = `${host}/library/busybox`
    const lines = [
      `FROM ${base} AS make`,
      'COPY source.txt /src/',
      'RUN sort /src/source.txt > /sorted',
      `FROM ${base}`,
      'COPY --from=make /sorted /',
    ]
    const files = { Dockerfile: lines.join('\n'), 'source.txt': 'b\na\n' }
    const context = await lab.context(files)
    await lab.build([context])
    const more = [...lines, 'COPY --from=make /src /src', 'RUN cat /src/source.txt /sorted > /all']
    await writeFile(join(context, 'Dockerfile'), more.join('\n'))
    for (const directory of ['blobs/sha256', 'layers/contents']) await damageAll(lab, directory)
    const out = join(lab.dir, 'out')
    const { stderr } = await lab.build(['-o', `type=local,dest=${out}`, context])
    assert.equal(await readFile(join(out, 'all'), 'utf8'), 'b\na\na\nb\n')
    assert.match(
      stderr,
      /what the state root had of .* was damaged and is removed; it is made again/,
    )
  })

  it('has what lay unpacked unpacked again when a file of it is not what it was, or gone', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const make = [`FROM ${host}/library/busybox AS make`, 'RUN echo one > /one; echo two > /two']
    const context = await lab.context({ Dockerfile: make.join('\n') })
    await lab.build(['-o', 'type=cacheonly', context])
    const breaks = { bit: damage, missing: (path: string) => rm(path) }
    for (const [name, spoil] of Object.entries(breaks)) {
      const [one = assert.fail()] = await unpacked(lab, 'one')
      await spoil(one)
      const lines = [...make, 'FROM scratch', `COPY --from=make /one /two /${name}/`]
      await writeFile(join(context, 'Dockerfile'), lines.join('\n'))
      const out = join(lab.dir, name)
      const { stderr } = await lab.build(['-o', `type=local,dest=${out}`, context])
      assert.equal(await readFile(join(out, name, 'one'), 'utf8'), 'one\n')
      assert.equal(stderr.match(/was damaged and is removed; it is made again/g)?.length, 1)
      // The layer lies unpacked once more; what was damaged goes with the next prune.
      const prune = await lab.tsbuild(['prune', '-f', '--filter', 'type=download'])
      assert.equal(prune.status, 0, prune.text)
      const left = await unpacked(lab, 'one')
      assert.equal(left.length, 1)
      assert.notEqual(left[0], one)
    }
  })

  it('gives no damaged layer away', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const lines = `FROM ${host}/library/busybox\nCOPY source.txt /\n`
    const context = await lab.context({ Dockerfile: lines, 'source.txt': 'text\n' })
    await lab.build(['-t', 'app', context])
    await damageAll(lab, 'blobs/sha256')
    const archive = join(lab.dir, 'out.tar')
    const { stderr } = await lab.build(['-o', `type=oci,dest=${archive}`, context])
    assert.match(stderr, /was damaged and is removed; building without it/)
    await mustRun('skopeo', ['copy', `oci-archive:${archive}`, `dir:${join(lab.dir, 'out')}`])
    await lab.build(['-t', 'app', context])
    const layers = await damageLayers(lab)
    const saved = await lab.tsbuild(['save', '-o', join(lab.dir, 'saved.tar'), 'app'])
    assert.ok(layers > 0 && saved.status === 1, saved.text)
    assert.match(saved.stderr, /could not use layer .* it was damaged on disk and is removed/)
  })

  it('has the layers of an image that is to be run fetched again', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    await lab.build([
      '-t',
      'app',
      await lab.context({ Dockerfile: `FROM ${host}/library/busybox\n` }),
    ])
    assert.equal((await lab.tsbuild(['save', '-o', join(lab.dir, 'saved.tar'), 'app'])).status, 0)
    assert.ok((await damageLayers(lab)) > 0)
    const run = await lab.tsbuild(['run', 'app', 'echo', 'here'])
    assert.equal(run.stdout, 'here\n', run.text)
  })

  it('can be looked at and pruned', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({ Dockerfile: `FROM ${host}/library/busybox\nRUN true\n` })
    await lab.build(['-t', 'app', context])
    for (const directory of ['blobs/sha256', 'layers/records', 'cache/steps', 'images']) {
      await damageAll(lab, directory)
    }
    for (const command of [['du'], ['images'], ['prune', '-f'], ['prune', '-af', '--images']]) {
      const result = await lab.tsbuild(command)
      assert.equal(result.status, 0, result.text)
    }
    const { stdout } = await lab.tsbuild(['du', '--format', 'json'])
    assert.equal(JSON.parse(stdout).totalBytes, 0)
  })

  it('has its downloads fetched again', async () => {
    await using lab = await Lab.open()
    await using server = await serveHttp((_request, response) => response.end('right\n'))
    const digest = digestOf('right\n')
    const add = `ADD --checksum=${digest} http://${server.host}/f`
    const context = await lab.context({ Dockerfile: `FROM scratch\n${add} /f\n` })
    await lab.build([context])
    await damage(join(lab.stateRoot, 'contexts/downloads', digestHex(digest)))
    await writeFile(join(context, 'Dockerfile'), `FROM scratch\n${add} /g\n`)
    const out = join(lab.dir, 'out')
    await lab.build(['-o', `type=local,dest=${out}`, context])
    assert.equal(await readFile(join(out, 'g'), 'utf8'), 'right\n')
  })
})
