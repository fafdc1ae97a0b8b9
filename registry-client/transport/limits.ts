import { RegistryError } from '../errors.ts'
import { describeConnectionError } from './failure.ts'
import type { HttpResponse } from './http-message.ts'

/** For error replies: longer ones are cut, not refused. */
export const ERROR_BODY_BYTES_MAX: number = 64 * 1024
/** Token replies, tag lists and other JSON of the API. */
export const JSON_BODY_BYTES_MAX: number = 4 * 1024 * 1024

/**
 * The whole body; throws RegistryError `too-large` as soon as it exceeds `bytesMax`, whatever
 * Content-Length said.
 */
export async function readBounded(
  response: HttpResponse,
  what: string,
  bytesMax: number,
): Promise<Buffer> {
  const { bytes, isWhole } = await collect(response, bytesMax)
  if (isWhole) return bytes
  const reason = `${response.url.host} sent a ${what} of more than ${bytesMax} bytes`
  throw new RegistryError('too-large', reason, { host: response.url.host })
}

/** At most the first `bytesMax` bytes of the body. */
export async function readStart(response: HttpResponse, bytesMax: number): Promise<Buffer> {
  return (await collect(response, bytesMax)).bytes
}

async function collect(
  response: HttpResponse,
  bytesMax: number,
): Promise<{ bytes: Buffer; isWhole: boolean }> {
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  for await (const chunk of bodyChunks(response)) {
    sizeBytes += chunk.byteLength
    if (sizeBytes > bytesMax) {
      response.body.destroy()
      return { bytes: Buffer.concat(chunks), isWhole: false }
    }
    chunks.push(chunk)
  }
  return { bytes: Buffer.concat(chunks), isWhole: true }
}

/** The chunks of a body; a connection that breaks is a RegistryError that says so. */
export async function* bodyChunks(
  response: HttpResponse,
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = response.body[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await iterator.next().catch((error: unknown) => {
        throw describeConnectionError(error, response.url)
      })
      if (next.done === true) return
      if (next.value instanceof Uint8Array) yield next.value
    }
  } finally {
    response.body.destroy()
  }
}

/**
 * Refuses a body that trickles: idle timeouts let a server send one byte a minute for ever. Called
 * with each chunk; throws once a whole window brought less than a modem would.
 */
export class TrickleGuard {
  static readonly windowMs: number = 60_000
  static readonly windowBytesMin: number = 64 * 1024
  readonly #host: string
  #windowStartMs: number
  #windowBytes = 0

  constructor(host: string, nowMs: number) {
    this.#host = host
    this.#windowStartMs = nowMs
  }

  arrived(sizeBytes: number, nowMs: number): void {
    this.#windowBytes += sizeBytes
    if (nowMs - this.#windowStartMs < TrickleGuard.windowMs) return
    if (this.#windowBytes < TrickleGuard.windowBytesMin) {
      const reason = `${this.#host} sent only ${this.#windowBytes} bytes in ${TrickleGuard.windowMs / 1000} s`
      throw new RegistryError('timeout', reason, { host: this.#host, isTemporary: true })
    }
    this.#windowStartMs = nowMs
    this.#windowBytes = 0
  }
}
