import { join } from 'node:path'
import { bytesEntry, pack } from './layer-files.ts'

/** Files that are compressed with others, by themselves, and in several parts. */
export function entriesOfAllSizes(): ReturnType<typeof bytesEntry>[] {
  const words = Array.from({ length: 60_000 }, (_, i) => `${(i * i) % 9973} `).join('')
  return [
    ...Array.from({ length: 30 }, (_, i) => bytesEntry(`f${i}`, words.slice(i * 100))),
    bytesEntry('g-large', words.repeat(18)),
    bytesEntry('h-small', words.slice(0, 9000)),
  ]
}

/** Digests of the blobs that a packer makes of them, by compression and level. Blobs are left in `directory`. */
export async function packDigests(directory: string): Promise<Record<string, string | undefined>> {
  const digests: Record<string, string | undefined> = {}
  for (const level of [undefined, 1, 6]) {
    for (const compression of ['gzip', 'zstd'] as const) {
      const name = `${compression}-${level ?? 'default'}`
      const output = join(directory, name)
      digests[name] = (await pack(entriesOfAllSizes(), { output, compression, level })).digest
    }
  }
  return digests
}

// A program too: what a process has compressed before, it does not compress again.
const [, program, directory] = process.argv
if (program === import.meta.filename && directory !== undefined) {
  console.log(JSON.stringify(await packDigests(directory)))
}
