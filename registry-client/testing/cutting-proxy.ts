import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** After how many bytes, of which side, a connection breaks. */
export interface Cut {
  readonly side: 'request' | 'answer'
  readonly afterBytes: number
}

const LINE_BYTES_MAX = 4096

/** A TCP proxy in front of a server that breaks connections where a test says so, and tells what is asked. */
export class CuttingProxy implements AsyncDisposable {
  readonly #target: { readonly host: string; readonly port: number }
  readonly #sockets = new Set<Socket>()
  readonly #server: Server
  /** For the next connections, one each; connections after that live. */
  readonly cuts: Cut[] = []
  /** How many connections were broken. */
  cutCount: number = 0
  /** Told `POST /v2/…` of each request of HTTP, before it is passed on. */
  onRequest: ((line: string) => void) | undefined

  private constructor(target: string) {
    const [host = '', port = ''] = target.split(':')
    this.#target = { host, port: Number(port) }
    this.#server = createServer((client) => this.#serve(client))
  }

  /** `target` is `ADDRESS:PORT`; `port` is that of an earlier one, to take its place. */
  static async start(target: string, port = 0): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(target)
    await new Promise<void>((resolve) => proxy.#server.listen(port, '127.0.0.1', resolve))
    return proxy
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #serve(client: Socket): void {
    const server = connect(this.#target)
    const cut = this.cuts.shift()
    const end = (): void => {
      client.destroy()
      server.destroy()
    }
    for (const socket of [client, server]) {
      this.#sockets.add(socket)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        end()
      })
      // Broken connections are what this is for; the other side learns of it by the close.
      socket.on('error', end)
    }
    client.on('data', (chunk: Buffer) => {
      const line = /^([A-Z]+ \S+) HTTP\/1\.1\r\n/.exec(
        chunk.toString('latin1', 0, LINE_BYTES_MAX),
      )?.[1]
      if (line !== undefined) this.onRequest?.(line)
    })
    this.#pass(client, server, cut?.side === 'request' ? cut.afterBytes : undefined)
    this.#pass(server, client, cut?.side === 'answer' ? cut.afterBytes : undefined)
  }

  #pass(from: Socket, to: Socket, afterBytes: number | undefined): void {
    let left = afterBytes ?? Number.POSITIVE_INFINITY
    from.on('data', (chunk: Buffer) => {
      const isLast = chunk.byteLength >= left
      const part = isLast ? chunk.subarray(0, left) : chunk
      left -= part.byteLength
      if (!to.write(part)) {
        from.pause()
        to.once('drain', () => from.resume())
      }
      if (!isLast) return
      this.cutCount += 1
      from.pause()
      to.end(() => from.destroy())
    })
  }
}
