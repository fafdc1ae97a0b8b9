import { closeSync, fstatSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { Kernel } from '../../snapshotter/index.ts'
import type { ReadFileRequest } from './messages.ts'

/** A file of a layer that is larger than its reader allows. */
class FileTooLargeError extends Error {
  override readonly name = 'FileTooLargeError'
  readonly code = 'file-too-large'
}

/** The bytes of a regular file below a layer directory. Errors: `file-too-large`; KernelError for a missing one. */
export async function readLayerFile(
  { root, path, sizeBytesMax }: ReadFileRequest,
  kernel: Pick<Kernel, 'openInRoot'>,
): Promise<Uint8Array> {
  const fd = kernel.openInRoot(join(root.path, 'fs'), path)
  try {
    const { size } = fstatSync(fd)
    if (size > sizeBytesMax) {
      throw new FileTooLargeError(
        `could not read ${path}: it has ${size} bytes, at most ${sizeBytesMax} are read`,
      )
    }
    const bytes = Buffer.alloc(size)
    let used = 0
    while (used < size) {
      const got = readSync(fd, bytes, used, size - used, used)
      if (got === 0) break
      used += got
    }
    return bytes.subarray(0, used)
  } finally {
    closeSync(fd)
  }
}
