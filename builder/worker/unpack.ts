import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  ARCHIVE_LIMITS,
  type Kernel,
  makePlace,
  noteImpliedDirectories,
} from '../../snapshotter/index.ts'
import { recordOwners } from './recorded-owners.ts'
import type { UnpackRequest, UnpackResult } from './protocol.ts'

export interface UnpackParts {
  /** On the filesystem of the layers; its directories are spread (`Kernel.spreadChildren`). */
  readonly workDir: string
  readonly kernel: Pick<Kernel, 'readLayer' | 'removeTree' | 'setXattr'>
  readonly userXattr: boolean
  /** There is a single id: owners are recorded beside the files. */
  readonly recordsOwners: boolean
}

/** A blob that is not what its manifest or config said. */
class UnpackError extends Error {
  override readonly name = 'UnpackError'
  readonly code: 'digest-mismatch' | 'diff-id-mismatch'

  constructor(code: UnpackError['code'], message: string) {
    super(message)
    this.code = code
  }
}

/**
 * Unpacks a layer into a new directory in overlay form and writes its table of contents; nothing is left on failure.
 * Errors: `bad-archive`, `digest-mismatch`, `diff-id-mismatch`.
 */
export async function unpackLayer(
  request: UnpackRequest,
  parts: UnpackParts,
  signal: AbortSignal,
): Promise<UnpackResult> {
  const { blob, arriving, compression, directory, contents, expect } = request
  const extractTo = join(directory, 'fs')
  await rename(makePlace(parts.workDir, 'layer-'), directory)
  try {
    const layer = await parts.kernel.readLayer({
      blob,
      arriving,
      compression,
      extractTo,
      entries: { contents },
      whiteouts: 'overlay',
      userXattr: parts.userXattr,
      ownership: parts.recordsOwners ? 'none' : 'owners',
      limits: ARCHIVE_LIMITS,
      signal,
    })
    // The digest of a blob that still arrives is checked where it is downloaded.
    if (layer.digest !== undefined) check('digest-mismatch', blob, layer.digest, expect.digest)
    check('diff-id-mismatch', blob, layer.diffId, expect.diffId)
    await noteImpliedDirectories({ path: directory }, layer.implied)
    if (parts.recordsOwners) await recordOwners(extractTo, contents, parts.kernel)
    return { uncompressedSizeBytes: layer.uncompressedSizeBytes }
  } catch (error) {
    await rm(contents, { force: true })
    await parts.kernel.removeTree(directory, new AbortController().signal)
    throw error
  }
}

function check(
  code: UnpackError['code'],
  blob: string,
  found: string,
  wanted: string | undefined,
): void {
  if (wanted === undefined || found === wanted) return
  const what = code === 'digest-mismatch' ? 'its digest' : 'the digest of its uncompressed bytes'
  throw new UnpackError(code, `could not unpack ${blob}: ${what} is ${found}, expected ${wanted}`)
}
