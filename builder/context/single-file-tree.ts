import type { Digest } from '../../registry-client/oci/index.ts'
import type { LayerPath, PackSource } from '../../snapshotter/index.ts'
import type { SourceTree, TreeEntry, TreeFile } from '../ops/copy-source.ts'

export interface SingleFile {
  /** Name in the tree, without slashes. */
  readonly name: string
  /** Host directory and name of the file. */
  readonly directory: string
  readonly hostName: string
  readonly digest: Digest
  readonly sizeBytes: number
  readonly mtimeSec: number
}

/** A tree with one file of mode 0600, owned by root: what a URL gives (features row D114). */
export class SingleFileTree implements SourceTree {
  readonly description: string
  readonly #file: SingleFile
  readonly #root: TreeEntry
  readonly #entry: TreeEntry

  constructor(description: string, file: SingleFile) {
    this.description = description
    this.#file = file
    const metadata = { uid: 0, gid: 0, mtimeSec: file.mtimeSec }
    const { name, sizeBytes } = file
    this.#root = { ...metadata, type: 'dir', path: '', mode: 0o755 }
    this.#entry = {
      ...metadata,
      type: 'file',
      path: name,
      mode: 0o600,
      sizeBytes,
      linkGroup: undefined,
    }
  }

  lookup(path: LayerPath): Promise<TreeEntry | undefined> {
    if (path === '') {
      return Promise.resolve(this.#root)
    }
    return Promise.resolve(path === this.#entry.path ? this.#entry : undefined)
  }

  list(path: LayerPath): Promise<readonly TreeEntry[]> {
    return Promise.resolve(path === '' ? [this.#entry] : [])
  }

  async *walk(path: LayerPath): AsyncGenerator<readonly TreeEntry[]> {
    yield await this.list(path)
  }

  fileDigests(files: readonly TreeFile[]): Promise<readonly Digest[]> {
    return Promise.resolve(files.map(() => this.#file.digest))
  }

  source(): PackSource {
    return { kind: 'path', root: this.#file.directory, path: this.#file.hostName }
  }
}
