import { constants } from 'node:fs'
import { copyFile, type FileHandle, open } from 'node:fs/promises'

const BLOCK_BYTES = 512
const PIECE_BYTES = 1 << 20
const ZEROS = Buffer.alloc(PIECE_BYTES)

/** Copies a file to a path where nothing is, by reflink where the filesystem can; one with holes keeps them. */
export async function copyContent(source: Buffer, path: Buffer): Promise<void> {
  await using from = await open(source, 'r')
  const { size, blocks } = await from.stat()
  if (blocks * BLOCK_BYTES >= size) {
    await copyFile(source, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
    return
  }
  // copy_file_range and sendfile would fill them, and a few bytes of an image can have more than any disk holds.
  await using to = await open(path, 'wx')
  await copyData(from, to)
  await to.truncate(size)
}

/** Everything that is not zero, to where it was. */
async function copyData(from: FileHandle, to: FileHandle): Promise<void> {
  const piece = Buffer.alloc(PIECE_BYTES)
  for (let at = 0; ; ) {
    const { bytesRead } = await from.read(piece, 0, PIECE_BYTES, at)
    if (bytesRead === 0) return
    const bytes = piece.subarray(0, bytesRead)
    if (!bytes.equals(ZEROS.subarray(0, bytesRead))) await to.write(bytes, 0, bytesRead, at)
    at += bytesRead
  }
}
