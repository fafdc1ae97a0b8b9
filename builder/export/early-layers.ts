import type { BegunUpload, RegistryClient } from '../../registry-client/index.ts'
import type { Digest } from '../../registry-client/oci/index.ts'
import type { GrowingBlob, WholeBlob } from '../solver/growing-blob.ts'
import type { GrowingLayer } from './exporter.ts'
import { followBlob, growsBeyond, type Pause } from './growing-file.ts'
import type { EarlyProgress } from './layer-progress.ts'

export type EarlyPushClient = Pick<RegistryClient, 'beginBlob' | 'hasBlob'>

export interface EarlyLayersParts {
  readonly client: () => Promise<EarlyPushClient>
  readonly pause: Pause
}

export interface EarlyPlace {
  readonly registry: string
  readonly repository: string
}

/**
 * A layer begins to be sent when so much of it is packed and it is still not whole. What is smaller is packed in a fraction of a
 * second, and to send it early would save less than the two requests cost that it takes more.
 */
const EARLY_BYTES_MIN = 16 << 20

/**
 * Uploads that begin while their layers are packed. Whether a layer is in the registry already is known only by its digest, at
 * the end: one that is likely to be what an earlier build pushed is not sent early. Nothing here fails: what goes wrong
 * is done again by the usual upload.
 */
export class EarlyLayers {
  readonly #parts: EarlyLayersParts
  readonly #uploads = new Set<BegunUpload>()
  /** Of whole blobs, by place and digest. */
  readonly #whole = new Map<string, BegunUpload>()

  constructor(parts: EarlyLayersParts) {
    this.#parts = parts
  }

  begin(
    layer: GrowingLayer,
    place: EarlyPlace,
    progress: EarlyProgress,
    signal: AbortSignal,
  ): void {
    this.#run(layer, place, progress, signal).catch(() => undefined)
  }

  /** What was sent of a layer. Whoever takes it ends it. */
  take(place: EarlyPlace, digest: Digest): BegunUpload | undefined {
    const key = keyOf(place, digest)
    const upload = this.#whole.get(key)
    this.#whole.delete(key)
    return upload
  }

  /** Cancels what nobody took: all layers are known. */
  async endRest(): Promise<void> {
    const rest = [...this.#whole.values()]
    this.#whole.clear()
    await endAll(rest)
  }

  /** Cancels everything. */
  async abandon(): Promise<void> {
    await endAll(this.#uploads)
  }

  async #run(
    { blob, likely }: GrowingLayer,
    place: EarlyPlace,
    progress: EarlyProgress,
    signal: AbortSignal,
  ): Promise<void> {
    const { pause } = this.#parts
    // Asked now: when the step is recorded, it is the same as the step before.
    const likelyBlob = likely()
    likelyBlob.catch(() => undefined)
    if (!(await growsBeyond(blob, EARLY_BYTES_MIN, pause, signal))) return
    const client = await this.#parts.client()
    const reference = { ...place, tag: undefined, digest: undefined }
    const expected = await likelyBlob
    if (expected !== undefined && (await client.hasBlob(reference, expected, { signal }))) return
    if (blob.over.aborted) return
    const source = {
      open: (inner: AbortSignal): AsyncIterable<Uint8Array> => followBlob(blob, pause, inner),
    }
    // Packing may outlive the push, whose step has ended then.
    const onProgress = (sentBytes: number): void => {
      if (!signal.aborted) progress.sent(sentBytes)
    }
    const upload = client.beginBlob(reference, source, { signal, onProgress })
    this.#uploads.add(upload)
    const whole = await ended(blob)
    if (signal.aborted) return
    const key = whole && keyOf(place, whole.digest)
    if (whole === undefined || key === undefined || this.#whole.has(key)) {
      await upload[Symbol.asyncDispose]()
    } else {
      progress.whole(whole)
      this.#whole.set(key, upload)
    }
  }
}

function keyOf({ registry, repository }: EarlyPlace, digest: Digest): string {
  return `${registry}/${repository} ${digest}`
}

async function endAll(uploads: Iterable<BegunUpload>): Promise<void> {
  await Promise.all([...uploads].map((upload) => upload[Symbol.asyncDispose]()))
}

async function ended(blob: GrowingBlob): Promise<WholeBlob | undefined> {
  if (!blob.over.aborted) {
    await new Promise<void>((resolve) => {
      blob.over.addEventListener('abort', () => resolve(), { once: true })
    })
  }
  return blob.whole
}
