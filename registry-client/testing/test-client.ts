import { anonymous } from '../auth/credentials.ts'
import { RegistryClient } from '../client.ts'
import type { RegistryClientOptions } from '../host-clients.ts'
import { type Reference, parseReference } from '../oci/index.ts'
import { RegistryError, type RegistryErrorCode } from '../errors.ts'
import assert from 'node:assert/strict'
import { ManualClock } from './manual-clock.ts'
import type { FakeRegistry } from './fake-registry.ts'
import type { BlobSink, BlobSource } from '../blob-stream.ts'
import { type Descriptor, digestOf, OCI_LAYER_GZIP } from '../oci/index.ts'

/** A client that knows nothing of this machine: no stored credentials, no proxies, no waiting. */
export function testClient(options: RegistryClientOptions = {}): RegistryClient {
  return new RegistryClient({
    credentials: anonymous,
    env: {},
    clock: new ManualClock(),
    ...options,
  })
}

/** A reference into a fake registry, e.g. `app:v1`. */
export function referenceTo(registry: Pick<FakeRegistry, 'host'>, name: string): Reference {
  return parseReference(`${registry.host}/${name}`)
}

/** A sink that keeps everything, and remembers how it ended. */
export class RecordingSink implements BlobSink {
  readonly #chunks: Uint8Array[] = []
  ended: 'open' | 'committed' | 'aborted' = 'open'

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  write(chunk: Uint8Array): void {
    assert.equal(this.ended, 'open', 'a chunk came after the end')
    this.#chunks.push(chunk)
  }

  async commit(): Promise<void> {
    assert.equal(this.ended, 'open')
    this.ended = 'committed'
  }

  async abort(): Promise<void> {
    assert.equal(this.ended, 'open')
    this.ended = 'aborted'
  }
}

/** A source of bytes in memory, in small pieces, that counts how often it was opened. */
export class MemorySource implements BlobSource {
  readonly descriptor: Descriptor
  readonly #bytes: Uint8Array
  readonly #pieceBytes: number
  /** The positions that it was opened at. */
  readonly opened: number[] = []

  constructor(bytes: Uint8Array, pieceBytes: number = 64 * 1024) {
    this.#bytes = bytes
    this.#pieceBytes = pieceBytes
    this.descriptor = {
      mediaType: OCI_LAYER_GZIP,
      digest: digestOf(bytes),
      sizeBytes: bytes.byteLength,
    }
  }

  async *open(startByte: number): AsyncGenerator<Uint8Array, void, undefined> {
    this.opened.push(startByte)
    for (
      let position = startByte;
      position < this.#bytes.byteLength;
      position += this.#pieceBytes
    ) {
      yield this.#bytes.subarray(position, position + this.#pieceBytes)
    }
  }
}

/** Bytes without a pattern, the same in every run. */
export function noise(sizeBytes: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4))
  let state = seed
  for (let index = 0; index < words.length; index += 1) {
    // xorshift: any generator would do that repeats itself in every run.
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[index] = state
  }
  return new Uint8Array(words.buffer, 0, sizeBytes)
}

/** Asserts that `work` fails with this code and a message that fits; gives the error for more. */
export async function rejectsWith(
  work: Promise<unknown>,
  code: RegistryErrorCode,
  message: RegExp,
): Promise<RegistryError> {
  const error: unknown = await work.then(
    () => assert.fail(`expected ${code}, but it succeeded`),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof RegistryError, `expected ${code}, not ${String(error)}`)
  assert.equal(error.code, code, error.message)
  assert.match(error.message, message)
  return error
}
