import { createHash, type Hash } from 'node:crypto'
import { type Digest, digestOfHash } from '../../registry-client/oci/index.ts'
import type { SelectedItem, SelectedMatch, SelectedSource } from './copy-select.ts'
import type { TreeEntry } from './copy-source.ts'

/** Text is hashed in pieces of about this size: a call of the hash for every file would take longer than the hash. */
const PIECE_LENGTH = 1 << 16

/**
 * Digest of what a source selected: names below it, types, modes, ids, link targets, device numbers, xattrs and bytes,
 * and which files are one (features rows K4, K5). Times are not in it, nor is where the source was found: the same
 * selection from elsewhere is the same content. A directory's own metadata is left out because only its contents are
 * copied; a file's name is in, since it may become the name of the copy. That of a directory is in the key of a COPY
 * too, as BuildKit has it. Neither is where a mount reads: it shows them by its target.
 */
export function contentDigest(selected: SelectedSource, reader: 'copy' | 'mount'): Digest {
  const writer = new KeyWriter()
  if (selected.type === 'inline') {
    writer.fields('inline', selected.name, selected.content)
    return writer.finish()
  }
  const { unpack, isRemote } = selected.source
  writer.fields('path', unpack, String(isRemote))
  const { identity } = selected.tree
  for (const match of selected.matches) {
    if (isRemote && identity !== undefined) {
      // The names are what --exclude left.
      writer.fields('tree', identity, match.entry.path, ...match.items.map((item) => item.relative))
    } else {
      writeMatch(writer, match, reader === 'copy' ? match.name : '')
    }
  }
  return writer.finish()
}

function writeMatch(writer: KeyWriter, match: SelectedMatch, name: string): void {
  if (match.entry.type !== 'dir') {
    writer.fields('match', name)
    writeEntry(writer, match.entry, match.digest, undefined)
    return
  }
  // The whole of a source has no name.
  const named = name === '' ? [] : ['named', name]
  writer.fields(...named, 'directory', String(match.items.length))
  const firstNames = new Map<string, string>()
  for (const item of match.items) {
    writer.fields(item.relative, String(item.isImplied))
    writeEntry(writer, item.entry, item.digest, earlierName(firstNames, item))
  }
}

/** The first name of the file that `item` is another name of. */
function earlierName(firstNames: Map<string, string>, item: SelectedItem): string | undefined {
  const group = item.entry.type === 'file' ? item.entry.linkGroup : undefined
  if (group === undefined) {
    return undefined
  }
  const first = firstNames.get(group)
  if (first === undefined) {
    firstNames.set(group, item.relative)
  }
  return first
}

function writeEntry(
  writer: KeyWriter,
  entry: TreeEntry,
  digest: Digest | undefined,
  hardlinkTo: string | undefined,
): void {
  writer.fields(entry.type, entry.mode.toString(8), String(entry.uid), String(entry.gid))
  switch (entry.type) {
    case 'file':
      writer.fields(digest ?? '', hardlinkTo ?? '')
      break
    case 'symlink':
      writer.fields(entry.target)
      break
    case 'char':
    case 'block':
      writer.fields(String(entry.major), String(entry.minor))
      break
    case 'dir':
    case 'fifo':
      break
  }
  const xattrs = entry.xattrs ?? []
  writer.fields(String(xattrs.length))
  for (const { name, value } of xattrs) {
    writer.fields(name, Buffer.from(value).toString('hex'))
  }
}

/** Every field with its length before it, so that no two lists of fields look the same (features row K13). */
class KeyWriter {
  readonly #hash: Hash = createHash('sha256')
  #piece = 'copy-content-1\n'

  fields(...fields: readonly string[]): void {
    for (const field of fields) {
      this.#piece += `${field.length}:${field}`
    }
    if (this.#piece.length > PIECE_LENGTH) {
      this.#flush()
    }
  }

  finish(): Digest {
    this.#flush()
    return digestOfHash(this.#hash)
  }

  #flush(): void {
    // Lone surrogates stand for bytes that are not UTF-8 (LayerPath); as UTF-16 they stay distinct.
    this.#hash.update(this.#piece, 'utf16le')
    this.#piece = ''
  }
}
