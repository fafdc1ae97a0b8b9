import { createHash, type Hash } from 'node:crypto'
import type { CopySource } from '../../frontend/index.ts'
import { type Digest, digestOfHash } from '../../registry-client/oci/index.ts'
import type { LayerPath } from '../../snapshotter/index.ts'
import type { TreeEntry } from './copy-source.ts'

/** Text is hashed in pieces of about this size: a call of the hash for every file would take longer than the hash. */
const PIECE_LENGTH = 1 << 16

/** What the digest says of one thing that was selected. */
export interface KeyItem {
  readonly entry: TreeEntry
  readonly isImplied: boolean
  /** Of files. */
  readonly digest: Digest | undefined
  /** The first name of the file that it is another name of. */
  readonly hardlinkTo: LayerPath | undefined
}

/**
 * Digest of what a source selects, told piece by piece: names below it, types, modes, ids, link targets, device numbers,
 * xattrs and bytes, and which files are one (features rows K4, K5). Times are not in it, nor is where the source was found:
 * the same selection from elsewhere is the same content. A COPY does not see a directory's own metadata, because only its
 * contents are copied; a mount does. A file's name is in, since it may become the name of the copy. That of a directory is in
 * the key of a COPY too, as BuildKit has it. Neither is where a mount reads: it shows them by its target.
 */
export class ContentKey {
  readonly #writer = new KeyWriter()
  readonly #reader: 'copy' | 'mount'
  readonly #isRemote: boolean
  /** The match is in a tree that names itself: only the names are told. */
  #isNamed = false

  constructor(source: CopySource, reader: 'copy' | 'mount') {
    this.#reader = reader
    this.#isRemote = source.type === 'path' && source.isRemote
    if (source.type === 'inline') {
      this.#writer.fields('inline', source.name, source.content)
    } else {
      this.#writer.fields('path', source.unpack, String(source.isRemote))
    }
  }

  /** Then come its items, then `endMatch`. */
  beginMatch(
    name: string,
    entry: TreeEntry,
    digest: Digest | undefined,
    identity: string | undefined,
  ): void {
    const shown = this.#reader === 'copy' ? name : ''
    this.#isNamed = this.#isRemote && identity !== undefined
    if (this.#isNamed) {
      this.#writer.fields('tree', identity ?? '', entry.path)
    } else if (entry.type !== 'dir') {
      this.#writer.fields('match', shown)
      writeEntry(this.#writer, { entry, digest, hardlinkTo: undefined })
    } else {
      // The whole of a source has no name.
      this.#writer.fields(...(shown === '' ? [] : ['named', shown]), 'directory')
      if (this.#reader === 'mount' && !isPlain(entry)) {
        writeEntry(this.#writer, { entry, digest: undefined, hardlinkTo: undefined })
      }
    }
  }

  item(relative: LayerPath, item: KeyItem): void {
    if (this.#isNamed) {
      // The names are what --exclude left.
      this.#writer.fields(relative)
    } else {
      this.#writer.fields(relative, String(item.isImplied))
      writeEntry(this.#writer, item)
    }
  }

  endMatch(entry: TreeEntry, itemCount: number): void {
    if (entry.type === 'dir') {
      // No name begins so.
      this.#writer.fields('/end', String(itemCount))
    }
  }

  finish(): Digest {
    return this.#writer.finish()
  }
}

/** A directory like most, which needs no word of its own, or the root of a tree, whose metadata means nothing. */
function isPlain({ path, mode, uid, gid, xattrs = [] }: TreeEntry): boolean {
  return path === '' || (mode === 0o755 && uid === 0 && gid === 0 && xattrs.length === 0)
}

function writeEntry(
  writer: KeyWriter,
  { entry, digest, hardlinkTo }: Omit<KeyItem, 'isImplied'>,
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
  #piece = 'copy-content-2\n'

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
