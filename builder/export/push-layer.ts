import { createReadStream } from 'node:fs'
import type { BegunUpload, BlobPushResult, RegistryClient } from '../../registry-client/index.ts'
import type { ImageLayer } from '../image/built-image.ts'
import type { Step } from '../solver/steps.ts'
import type { ExportServices } from './exporter.ts'
import { partOf, partProgress } from './layer-progress.ts'

/** What pushing blobs needs of the registry client. */
export type PushClient = Pick<RegistryClient, 'pushBlob'>

export interface PushLayerOptions {
  readonly layer: ImageLayer
  readonly registry: string
  readonly repository: string
  /** Other repositories of the registry that have the layer from this push. */
  readonly holders: readonly string[]
  /** What was sent of it while it was packed. */
  readonly begun?: BegunUpload | undefined
  readonly step: Step
  readonly services: Pick<ExportServices, 'ensureBlob'>
  readonly signal: AbortSignal
}

/**
 * Makes a repository hold a layer: it is there, or mounted from a repository that is known to have it (features row R43), or
 * uploaded. A base layer that was never downloaded is fetched only when it must be uploaded.
 */
export async function pushLayer(client: PushClient, options: PushLayerOptions): Promise<void> {
  const { layer, registry, repository, begun, step, services, signal } = options
  const { descriptor, origins } = layer
  const part = partOf(descriptor.digest)
  const origin = origins.filter((one) => one.registry === registry).map((one) => one.repository)
  const onProgress = partProgress(step, part, descriptor.sizeBytes)
  const open = async function* (startByte: number): AsyncGenerator<Uint8Array> {
    const path = await services.ensureBlob(layer, signal)
    yield* createReadStream(path, { start: startByte, highWaterMark: 1 << 20 })
  }
  const result = await client.pushBlob(
    { registry, repository, tag: undefined, digest: undefined },
    { descriptor, open },
    { signal, mountFrom: [...options.holders, ...origin], onProgress, begun },
  )
  const moved = result.kind === 'uploaded' ? descriptor.sizeBytes : 0
  step.progress(part, {
    currentBytes: moved,
    totalBytes: moved === 0 ? undefined : moved,
    isDone: true,
    ...noteOf(result),
  })
}

function noteOf(result: BlobPushResult): { readonly note?: string } {
  switch (result.kind) {
    case 'existing':
      return { note: 'layer already exists' }
    case 'mounted':
      return { note: `mounted from ${result.from}` }
    case 'uploaded':
      return {}
    default:
      return result satisfies never
  }
}
