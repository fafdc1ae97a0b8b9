import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findEngine, loadIntoEngine } from './engine.ts'

const SIGNAL = new AbortController().signal

describe('loadIntoEngine', () => {
  let directory = ''
  let server: Server
  let received = 0
  let answer: { readonly status: number; readonly body: string }
  const address = () => ({ kind: 'socket' as const, path: join(directory, 'engine.sock') })

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-engine-'))
    server = createServer((request, response) => {
      received = 0
      request.on('data', (chunk: Buffer) => {
        received += chunk.length
      })
      request.on('end', () => response.writeHead(answer.status).end(answer.body))
    })
    await new Promise<void>((resolve) => server.listen(address().path, resolve))
  })
  after(async () => {
    server.close()
    await rm(directory, { recursive: true, force: true })
  })

  async function* archive(): AsyncGenerator<Buffer> {
    yield Buffer.alloc(100_000)
    yield Buffer.alloc(50_000)
  }

  it('streams the archive and returns what the engine says', async () => {
    answer = { status: 200, body: '{"stream":"Loaded image: app:v1\\n"}\n' }
    assert.deepEqual(await loadIntoEngine(address(), archive(), SIGNAL), ['Loaded image: app:v1'])
    assert.equal(received, 150_000)
  })

  it('turns every way of refusing into an error', async () => {
    for (const refusal of [
      { status: 200, body: '{"error":"no space"}' },
      { status: 500, body: '{"message":"broken"}' },
      { status: 404, body: '' },
      { status: 200, body: '<html>' },
    ]) {
      answer = refusal
      await assert.rejects(
        loadIntoEngine(address(), archive(), SIGNAL),
        { code: 'engine-failed' },
        refusal.body,
      )
    }
  })

  it('finds the engine of DOCKER_HOST', async () => {
    assert.deepEqual(await findEngine({ DOCKER_HOST: 'unix:///x/y.sock' }), {
      kind: 'socket',
      path: '/x/y.sock',
    })
    assert.deepEqual(await findEngine({ DOCKER_HOST: 'tcp://h:2376' }), {
      kind: 'tcp',
      host: 'h',
      port: 2376,
    })
    await assert.rejects(findEngine({ DOCKER_HOST: 'ssh://h' }), { code: 'engine-failed' })
  })
})
