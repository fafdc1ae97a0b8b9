import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kernel } from '../../snapshotter/index.ts'
import { temporaryPaths } from '../../snapshotter/testing/temporary-directory.ts'
import type { BuildRequest, ContextLocation, DockerfileLocation } from '../request.ts'
import { ContextError } from './errors.ts'
import { LocatedContexts } from './located-contexts.ts'

describe('LocatedContexts', () => {
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-located-'))
    for (const path of ['ctx/sub', 'other', 'work']) {
      mkdirSync(join(directory, path), { recursive: true })
    }
    const files = {
      'ctx/dockerfile': 'FROM lower\n',
      'ctx/.dockerignore': 'a\n',
      'ctx/sub/Prod': 'FROM prod\n',
      'ctx/sub/Prod.dockerignore': 'b\n',
      'ctx/a': '',
      'ctx/b': '',
      'other/.dockerignore': 'c\n',
      'other/b': '',
      'other/c': '',
    }
    for (const [path, text] of Object.entries(files)) {
      writeFileSync(join(directory, path), text)
    }
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  const byDefault: DockerfileLocation = { kind: 'path', path: 'Dockerfile', isDefault: true }

  const never = new AbortController().signal
  const contexts = (
    dockerfile: DockerfileLocation,
    context: ContextLocation = { kind: 'directory', path: join(directory, 'ctx') },
  ): LocatedContexts => {
    const namedContexts: BuildRequest['namedContexts'] = new Map([
      ['other', { kind: 'directory', path: join(directory, 'other') }],
      ['image', { kind: 'image', reference: 'x' }],
    ])
    return new LocatedContexts(
      { context, namedContexts, dockerfile, buildArgs: new Map() },
      {
        kernel,
        contextsDirectory: join(directory, 'contexts'),
        workDirectory: join(directory, 'work'),
        temporaryPath: temporaryPaths(join(directory, 'work')),
        env: { PATH: process.env['PATH'] },
        readSecret: () => Promise.resolve(undefined),
        sshAgent: () => Promise.resolve(undefined),
        signal: never,
      },
    )
  }

  const names = async (inputs: LocatedContexts, name: string): Promise<string[]> =>
    (await (await inputs.open(name, never)).list('')).map((entry) => entry.path)

  it('finds the default Dockerfile in the context, and the ignore file of each context', async () => {
    const inputs = contexts(byDefault)
    assert.deepEqual(await inputs.dockerfile(), { name: 'dockerfile', text: 'FROM lower\n' })
    assert.deepEqual(await names(inputs, 'context'), ['.dockerignore', 'b', 'dockerfile', 'sub'])
    assert.deepEqual(await names(inputs, 'other'), ['.dockerignore', 'b'])
    assert.equal(await inputs.open('other', never), await inputs.open('other', never))
  })

  it('takes the ignore file beside the Dockerfile instead of the one of the context', async () => {
    const inputs = contexts({
      kind: 'path',
      path: join(directory, 'ctx/sub/Prod'),
      isDefault: false,
    })
    assert.deepEqual(await names(inputs, 'context'), ['.dockerignore', 'a', 'dockerfile', 'sub'])
    assert.deepEqual(await inputs.dockerfile(), { name: 'Prod', text: 'FROM prod\n' })
  })

  it('reads the Dockerfile of an archive inside of it', async () => {
    const path = join(directory, 'c.tar')
    execFileSync('tar', ['-cf', path, '-C', join(directory, 'ctx'), '.'])
    const inputs = contexts(
      { kind: 'path', path: 'sub/Prod', isDefault: false },
      { kind: 'archive', path, origin: '-' },
    )
    assert.deepEqual(await inputs.dockerfile(), { name: 'Prod', text: 'FROM prod\n' })
    assert.deepEqual(await names(inputs, 'context'), [
      '.dockerignore',
      'a',
      'b',
      'dockerfile',
      'sub',
    ])
  })

  it('has an empty context when only a Dockerfile was given', async () => {
    const inputs = contexts(
      { kind: 'text', text: 'FROM t\n', name: 'Dockerfile' },
      { kind: 'none' },
    )
    assert.equal((await inputs.dockerfile()).text, 'FROM t\n')
    assert.deepEqual(await names(inputs, 'context'), [])
  })

  it('stops with its reader, whoever opened it, and is there for the next one', async () => {
    const server = createServer(() => undefined)
    const asked = once(server, 'request') as Promise<[IncomingMessage]>
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as AddressInfo
    const stop = new AbortController()
    const url = `http://127.0.0.1:${port}/r.git#${'a'.repeat(40)}`
    const git = contexts(byDefault, { kind: 'git', url })
    const listing = (await git.open('context', stop.signal)).list('')
    const [request] = await asked
    stop.abort()
    await assert.rejects(listing, { name: 'AbortError' })
    // The fetch has gone.
    if (!request.closed) await once(request, 'close')
    server.close()

    const files = contexts(byDefault)
    const tree = await files.open('context', stop.signal)
    await assert.rejects(tree.list(''), { name: 'AbortError' })
    await files.save()
    assert.deepEqual(await names(files, 'context'), ['.dockerignore', 'b', 'dockerfile', 'sub'])
  })

  it('says what is missing', async () => {
    const missing = contexts({ kind: 'path', path: join(directory, 'nope'), isDefault: false })
    await assert.rejects(missing.dockerfile(), (error) => {
      assert(error instanceof ContextError)
      assert.equal(error.code, 'dockerfile-missing')
      return true
    })
    const nowhere = contexts(byDefault, { kind: 'directory', path: join(directory, 'nowhere') })
    await assert.rejects(nowhere.dockerfile(), /nowhere" not found/)
    await assert.rejects(missing.open('image', never), /no directory, archive or URL/)
  })
})
