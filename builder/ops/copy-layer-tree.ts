import type { Digest } from '../../registry-client/oci/index.ts'
import type { LayerPath, LayerTree, PackSource, TreeNode } from '../../snapshotter/index.ts'
import { CopyError } from './copy-errors.ts'
import type { SourceTree, TreeEntry, TreeFile } from './copy-source.ts'

/** Entries that are given at a time. */
const PAGE_LENGTH = 4096

export interface LayerSourceOptions {
  readonly tree: LayerTree
  /** `stage build`, `image busybox`. */
  readonly description: string
  /** Host directory with the files of each layer, bottom first; asked for layers whose files are copied. */
  readonly rootOf: (layer: number) => string
}

/**
 * The filesystem of a stage or image as a tree that COPY reads from, and as the view of what is copied to. All comes
 * from the tables of contents; files are looked for on disk only when they are packed.
 */
export class LayerSource implements SourceTree {
  readonly description: string
  readonly #options: LayerSourceOptions

  constructor(options: LayerSourceOptions) {
    this.description = options.description
    this.#options = options
  }

  lookup(path: LayerPath): Promise<TreeEntry | undefined> {
    const node = this.#options.tree.lookup(path)
    return Promise.resolve(node === undefined ? undefined : toEntry(node))
  }

  list(path: LayerPath): Promise<readonly TreeEntry[]> {
    return Promise.resolve(this.#options.tree.children(path).map(toEntry))
  }

  async *walk(path: LayerPath): AsyncGenerator<readonly TreeEntry[]> {
    let page: TreeEntry[] = []
    for (const node of this.#options.tree.walk(path)) {
      if (node.path !== path) {
        page.push(toEntry(node))
      }
      if (page.length === PAGE_LENGTH) {
        yield page
        page = []
      }
    }
    yield page
  }

  fileDigests(files: readonly TreeFile[]): Promise<readonly Digest[]> {
    return Promise.resolve(
      files.map(({ path }) => {
        const entry = this.#options.tree.lookup(path)?.entry
        if (entry?.type !== 'file') {
          throw this.#missing(path)
        }
        return entry.digest
      }),
    )
  }

  source(path: LayerPath): PackSource {
    const node = this.#options.tree.lookup(path)
    if (node === undefined) {
      throw this.#missing(path)
    }
    return { kind: 'path', root: this.#options.rootOf(node.layer), path: node.source }
  }

  #missing(path: LayerPath): CopyError {
    return new CopyError(
      'source-missing',
      `could not copy from ${this.description}: "/${path}": not found`,
    )
  }
}

function toEntry(node: TreeNode): TreeEntry {
  const { entry } = node
  if (entry.type !== 'file') {
    return entry
  }
  const { digest: _digest, ...rest } = entry
  return { ...rest, linkGroup: `${node.layer}:${node.source}` }
}
