import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'

/** The kernel takes one more connection than the queue is long. */
const BACKLOG = 1
/** Listens, and comes to no accept(2): its thread sleeps until it is woken. */
const PROGRAM = `
const { parentPort, workerData } = require('node:worker_threads')
const server = require('node:net').createServer()
server.listen({ port: 0, host: '127.0.0.1', backlog: ${BACKLOG} }, () => {
  parentPort.postMessage(server.address().port)
  Atomics.wait(workerData, 0, 0)
})`

/** A port with a full queue of connections: the first packet of another one meets silence, as with a firewall that drops it. */
export class DeafServer implements AsyncDisposable {
  readonly host: string
  readonly #worker: Worker
  readonly #asleep: Int32Array
  readonly #queued: readonly Socket[]

  private constructor(
    host: string,
    parts: { readonly worker: Worker; readonly asleep: Int32Array; readonly queued: Socket[] },
  ) {
    this.host = host
    this.#worker = parts.worker
    this.#asleep = parts.asleep
    this.#queued = parts.queued
  }

  static async start(): Promise<DeafServer> {
    const asleep = new Int32Array(new SharedArrayBuffer(4))
    const worker = new Worker(PROGRAM, { eval: true, workerData: asleep })
    const [port]: number[] = await once(worker, 'message')
    const queued: Socket[] = []
    for (let count = 0; count <= BACKLOG; count += 1) {
      const socket = connect(port ?? 0, '127.0.0.1')
      await once(socket, 'connect')
      // When the server ends they are reset, which is no news.
      socket.on('error', () => undefined)
      queued.push(socket)
    }
    return new DeafServer(`127.0.0.1:${port}`, { worker, asleep, queued })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#queued) socket.destroy()
    Atomics.store(this.#asleep, 0, 1)
    Atomics.notify(this.#asleep, 0)
    await this.#worker.terminate()
  }
}
