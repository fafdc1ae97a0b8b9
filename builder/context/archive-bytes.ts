import { open } from 'node:fs/promises'

/** How an archive is compressed, as far as its first bytes say. */
export type ArchiveCompression = 'gzip' | 'bzip2' | 'xz' | 'zstd'

const MAGIC: readonly (readonly [ArchiveCompression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
]

/** The compression whose magic number `bytes` begin with. */
export function sniffCompression(bytes: Uint8Array): ArchiveCompression | undefined {
  return MAGIC.find(([, magic]) => magic.every((byte, index) => bytes[index] === byte))?.[0]
}

const BLOCK_BYTES = 512
const CHECKSUM_OFFSET = 148
const CHECKSUM_BYTES = 8

/**
 * True when `bytes` begin with the header of a tar entry: its checksum is right (POSIX ustar; old tars have no other
 * mark). An empty tar (zero blocks) is none, as it is not for Docker.
 */
export function startsWithTarHeader(bytes: Uint8Array): boolean {
  if (bytes.length < BLOCK_BYTES) {
    return false
  }
  const block = Buffer.from(bytes.buffer, bytes.byteOffset, BLOCK_BYTES)
  const field = block.toString('latin1', CHECKSUM_OFFSET, CHECKSUM_OFFSET + CHECKSUM_BYTES)
  const digits = /^[ \0]*([0-7]+)[ \0]*$/.exec(field)?.[1]
  if (digits === undefined) {
    return false
  }
  const expected = Number.parseInt(digits, 8)
  let unsigned = 0
  let signed = 0
  for (const [index, byte] of block.entries()) {
    const isField = index >= CHECKSUM_OFFSET && index < CHECKSUM_OFFSET + CHECKSUM_BYTES
    const value = isField ? 0x20 : byte
    unsigned += value
    // Some old writers summed signed characters.
    signed += value > 127 ? value - 256 : value
  }
  return expected === unsigned || expected === signed
}

/**
 * What bytes that were piped in or downloaded are, by the first 1024 of them (features rows C2, C3, C9): an archive, a
 * Dockerfile, or nothing. zstd is not recognised, as it is not by docker.
 */
export function classifyInput(head: Uint8Array): 'archive' | 'dockerfile' | 'empty' {
  const compression = sniffCompression(head)
  if ((compression !== undefined && compression !== 'zstd') || startsWithTarHeader(head)) {
    return 'archive'
  }
  return head.length === 0 ? 'empty' : 'dockerfile'
}

/** The first bytes of a file, at most `bytesMax`. */
export async function readHead(path: string, bytesMax: number): Promise<Buffer> {
  await using file = await open(path, 'r')
  const { buffer, bytesRead } = await file.read(Buffer.alloc(bytesMax), 0, bytesMax, 0)
  return buffer.subarray(0, bytesRead)
}
