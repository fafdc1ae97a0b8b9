import { open } from 'node:fs/promises'
import { CONTENTS_HEADER } from '../layer/contents.ts'
import type { EntryMetadata, LayerEntry } from '../layer/entry.ts'

/** Entries a line, as the addon writes them. */
const BATCH = 512

/** Writes a new table of contents at `path` without the addon (EEXIST if there is one), in the order given. */
export async function writeContents(path: string, entries: readonly LayerEntry[]): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  await file.writeFile(`${JSON.stringify(CONTENTS_HEADER)}\n`)
  for (let start = 0; start < entries.length; start += BATCH) {
    const batch = entries.slice(start, start + BATCH).map(encodeEntry)
    await file.writeFile(`${JSON.stringify(batch)}\n`)
  }
  await file.writeFile(`${JSON.stringify({ count: entries.length })}\n`)
}

function encodeEntry(entry: LayerEntry): unknown[] {
  switch (entry.type) {
    case 'whiteout':
      return ['w', entry.path]
    case 'opaque':
      return ['o', entry.path]
    case 'dir':
      return encodeMetadata('d', entry, [])
    case 'file':
      return encodeMetadata('f', entry, [entry.sizeBytes, entry.digest.slice('sha256:'.length)])
    case 'symlink':
      return encodeMetadata('l', entry, [entry.target])
    case 'hardlink':
      return encodeMetadata('h', entry, [entry.target])
    case 'char':
      return encodeMetadata('c', entry, [entry.major, entry.minor])
    case 'block':
      return encodeMetadata('b', entry, [entry.major, entry.minor])
    case 'fifo':
      return encodeMetadata('p', entry, [])
  }
}

function encodeMetadata(
  kind: string,
  entry: EntryMetadata & { readonly path: string },
  own: readonly unknown[],
): unknown[] {
  const fields = [kind, entry.path, entry.mode, entry.uid, entry.gid, entry.mtimeSec, ...own]
  if (entry.xattrs !== undefined && entry.xattrs.length > 0) {
    fields.push(
      entry.xattrs.map(({ name, value }) => [name, Buffer.from(value).toString('base64')]),
    )
  }
  return fields
}
