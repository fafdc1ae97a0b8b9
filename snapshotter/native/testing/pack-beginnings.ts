import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { bytesEntry, pack } from './layer-files.ts'

/**
 * Files whose compressed form shows what a compressor remembers of their first bytes: these come again, and what is
 * between makes it forget nothing. ISA-L remembered them wrongly, by the address of its state.
 */
function entriesWithBeginnings(count: number): ReturnType<typeof bytesEntry>[] {
  // Within the window of deflate, and together large enough for a block of its own.
  const much = 'a'.repeat(20_000)
  return Array.from({ length: count }, (_, i) => {
    const beginning = createHash('sha256').update(`${i}`).digest('base64')
    const again = [0, 1, 2, 3].map((at) => `${beginning.slice(at, at + 6)}${at + 2}`).join('')
    return bytesEntry(`f${i}`, `${beginning}${much}${again}${much}`)
  })
}

// A program, because a process does not compress again what it did before.
const [, , directory = ''] = process.argv
const output = join(directory, 'blob')
const packed = await pack(entriesWithBeginnings(12_000), { output, compression: 'gzip' })
console.log(packed.digest)
