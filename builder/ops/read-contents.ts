import { ARCHIVE_LIMITS, type Kernel, type LayerBlob, type Store } from '../../snapshotter/index.ts'
import { BuildError } from '../errors.ts'
import type { BuildLayer } from '../solver/layer.ts'

/**
 * Reads a layer's table of contents from its blob and writes it to a file, without unpacking anything. The blob is
 * verified on the way: `layer-missing` when its tar is another one than the image's config says.
 */
export async function readLayerContents(
  path: string,
  layer: BuildLayer,
  blob: LayerBlob,
  parts: { readonly store: Pick<Store, 'lease'>; readonly kernel: Pick<Kernel, 'readLayer'> },
  signal: AbortSignal,
): Promise<string> {
  const { diffId } = await layer.packing
  const file = parts.store.lease.temporaryPath('contents')
  const read = await parts.kernel.readLayer({
    blob: path,
    compression: blob.compression,
    extractTo: undefined,
    entries: { contents: file },
    whiteouts: 'overlay',
    userXattr: false,
    ownership: 'none',
    limits: ARCHIVE_LIMITS,
    signal,
  })
  if (read.diffId !== diffId || read.digest !== blob.digest) {
    throw new BuildError(
      'layer-missing',
      `could not use blob ${blob.digest} of ${layer.title}: its content is ${read.diffId}, not ${diffId}`,
    )
  }
  return file
}
