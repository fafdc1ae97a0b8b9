import type { BlobSource, CopySource } from '../../registry-client/index.ts'
import {
  type Descriptor,
  digestHex,
  isIndexType,
  isManifestType,
} from '../../registry-client/oci/index.ts'
import type { Kernel } from '../../snapshotter/index.ts'
import { OciLayout, tagOf } from '../ops/oci-layout.ts'
import { bytesBelow } from './layout-source.ts'

type FetchedManifest = Awaited<ReturnType<CopySource['top']>>

/**
 * An image of an OCI layout directory, to copy it elsewhere. Blobs are opened below the directory, so that a link in a hostile
 * layout cannot send other files of this machine. Errors: `layout-invalid`, `image-missing`, `archive-unreadable`.
 */
export function layoutCopySource(
  location: { readonly path: string; readonly reference: string | undefined },
  kernel: Pick<Kernel, 'openInRoot'>,
): CopySource {
  const layout = new OciLayout(location.path)
  const manifest = async (descriptor: Descriptor): Promise<FetchedManifest> => {
    const { mediaType, digest } = descriptor
    return { mediaType, digest, ...(await layout.manifest(descriptor)) }
  }
  return {
    origin: undefined,
    top: async () => manifest(await layout.find(location.reference)),
    manifest,
    // A layout lists referrers beside what they refer to (image-spec, image-layout.md).
    referrers: async (subject) => {
      const found: Descriptor[] = []
      for (const entry of await layout.entries()) {
        if (!isIndexType(entry.mediaType) && !isManifestType(entry.mediaType)) continue
        const { parsed } = await manifest(entry)
        const own = parsed.kind === 'index' ? parsed.index.subject : parsed.manifest.subject
        if (own?.digest === subject) found.push(entry)
      }
      return found
    },
    tagged: async (tag) => {
      const entry = (await layout.entries()).find((one) => tagOf(one) === tag)
      return entry && (await manifest(entry))
    },
    blob: (descriptor) => blobSource(location.path, descriptor, kernel),
  }
}

function blobSource(
  directory: string,
  descriptor: Descriptor,
  kernel: Pick<Kernel, 'openInRoot'>,
): BlobSource {
  const { digest } = descriptor
  const missing = `could not read OCI layout ${directory}: blob ${digest} is missing or no file`
  return {
    descriptor,
    open: (startByte) =>
      bytesBelow(directory, `blobs/sha256/${digestHex(digest)}`, kernel, { missing, startByte }),
  }
}
