import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { openSocketProxy } from './socket-proxy.ts'

const IDS = { recordsOwners: false } as const

/** A message of an agent: length, kind, and so many bytes more. */
function message(kind: number, more = 0): Buffer {
  const bytes = Buffer.alloc(5 + more)
  bytes.writeUInt32BE(1 + more)
  bytes[4] = kind
  return bytes
}

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
    await using proxy = await openSocketProxy(mount(join(directory, 'far')), directory, IDS)
    assert.equal((await stat(proxy.path)).mode & 0o777, 0o600)
    const client = createConnection(proxy.path)
    client.end(message(11))
    assert.deepEqual(await buffer(client), message(11))
  })

  it('lets a step list keys and sign, and nothing else, however the bytes come', async () => {
    await using proxy = await openSocketProxy(mount(join(directory, 'far')), directory, IDS)
    const client = createConnection(proxy.path)
    const add = message(17, 5000)
    const remove = message(18, 3)
    const all = Buffer.concat([message(11), add, message(13, 40), remove, message(19), message(27)])
    for (let at = 0; at < all.length; at += 7) client.write(all.subarray(at, at + 7))
    client.end()
    const refused = message(254)
    assert.deepEqual(
      await buffer(client),
      Buffer.concat([message(11), refused, message(13, 40), refused, refused, refused]),
    )
  })

  it('hangs up on what is no message of an agent', async () => {
    await using proxy = await openSocketProxy(mount(join(directory, 'far')), directory, IDS)
    const client = createConnection(proxy.path)
    client.on('error', () => undefined)
    const closed = new Promise((resolve) => client.once('close', resolve))
    client.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 11]))
    await closed
  })

  it('hangs up when nobody is on the other side', async () => {
    await using proxy = await openSocketProxy(mount(join(directory, 'none')), directory, IDS)
    const client = createConnection(proxy.path)
    const closed = new Promise((resolve) => client.once('close', resolve))
    client.on('error', () => undefined)
    await closed
  })

  it('ends open connections and leaves no socket behind', async () => {
    const proxy = await openSocketProxy(mount(join(directory, 'far')), directory, IDS)
    const client: Socket = createConnection(proxy.path)
    client.on('error', () => undefined)
    await new Promise((resolve) => client.write('x', resolve))
    const closed = new Promise((resolve) => client.once('close', resolve))
    await proxy[Symbol.asyncDispose]()
    await closed
    assert.deepEqual(await readdir(directory), ['far'])
  })
})
