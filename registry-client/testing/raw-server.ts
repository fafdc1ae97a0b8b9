import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

/** A server that speaks no HTTP of its own: it sends what a test says when a request begins. */
export class RawServer implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #timers = new Set<NodeJS.Timeout>()

  private constructor(onRequest: (socket: Socket, server: RawServer) => void) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket)
      // Clients that have enough hang up; that is what most of these tests are about.
      socket.on('error', () => socket.destroy())
      socket.on('close', () => this.#sockets.delete(socket))
      socket.once('data', () => onRequest(socket, this))
    })
  }

  static async start(onRequest: (socket: Socket, server: RawServer) => void): Promise<RawServer> {
    const server = new RawServer(onRequest)
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve))
    return server
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Sends this now and then until the other side has gone. */
  drip(socket: Socket, text: string, everyMs: number): void {
    const timer = setInterval(() => socket.write(text), everyMs)
    this.#timers.add(timer)
    socket.on('close', () => clearInterval(timer))
  }

  /** Sends this as fast as it is taken. */
  flood(socket: Socket, bytes: Uint8Array): void {
    const send = (): void => {
      while (!socket.destroyed && socket.write(bytes));
    }
    socket.on('drain', send)
    send()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const timer of this.#timers) clearInterval(timer)
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}
