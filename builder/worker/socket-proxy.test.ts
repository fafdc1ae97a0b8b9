import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { openSocketProxy } from './socket-proxy.ts'

describe('openSocketProxy', () => {
  let directory: string
  let server: Server
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-socket-'))
    server = createServer((socket) => socket.pipe(socket)).listen(join(directory, 'far'))
  })
  afterEach(async () => {
    server.close()
    await rm(directory, { recursive: true })
  })

  const mount = (socket: string): Parameters<typeof openSocketProxy>[0] => ({
    ...{ type: 'socket', target: '/s', socket, mode: 0o600 },
    ...{ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
  })

  it('passes bytes both ways and ends with the other side', async () => {
    await using proxy = await openSocketProxy(mount(join(directory, 'far')), directory)
    assert.equal((await stat(proxy.path)).mode & 0o777, 0o600)
    const client = createConnection(proxy.path)
    client.end('ping')
    assert.equal(await text(client), 'ping')
  })

  it('hangs up when nobody is on the other side', async () => {
    await using proxy = await openSocketProxy(mount(join(directory, 'none')), directory)
    const client = createConnection(proxy.path)
    const closed = new Promise((resolve) => client.once('close', resolve))
    client.on('error', () => undefined)
    await closed
  })

  it('ends open connections and leaves no socket behind', async () => {
    const proxy = await openSocketProxy(mount(join(directory, 'far')), directory)
    const client: Socket = createConnection(proxy.path)
    client.on('error', () => undefined)
    await new Promise((resolve) => client.write('x', resolve))
    const closed = new Promise((resolve) => client.once('close', resolve))
    await proxy[Symbol.asyncDispose]()
    await closed
    assert.deepEqual(await readdir(directory), ['far'])
  })
})
