import type { Digest } from '../../registry-client/oci/index.ts'
import { LayerTree, type LayerPath, type PackSource, type TreeNode } from '../../snapshotter/index.ts'
import type { LayerStack } from '../solver/layer.ts'
import { CopyError } from './copy-errors.ts'
import type { SourceTree, TreeEntry } from './copy-source.ts'
import type { LayerAccess } from './layer-access.ts'

/**
 * The filesystem of a stage or image as a tree that COPY reads from and writes over. Made from tables of contents; a
 * layer is unpacked only when the bytes of one of its files are to be packed (`unpackFor`).
 */
export class StackTree implements SourceTree {
  readonly description: string
  readonly #tree: LayerTree
  readonly #stack: LayerStack
  readonly #access: LayerAccess
  /** `fs/` of the layers that were unpacked, by index. */
  readonly #roots = new Map<number, string>()

  private constructor(description: string, tree: LayerTree, stack: LayerStack, access: LayerAccess) {
    this.description = description
    this.#tree = tree
    this.#stack = stack
    this.#access = access
  }

  /** Waits until all layers of `stack` are packed; reads (or makes) their tables of contents. */
  static async open(
    description: string,
    stack: LayerStack,
    access: LayerAccess,
    signal: AbortSignal,
  ): Promise<StackTree> {
    const files = await Promise.all(stack.map((layer) => access.contents(layer, signal)))
    return new StackTree(description, await LayerTree.load(files), stack, access)
  }

  async lookup(path: LayerPath): Promise<TreeEntry | undefined> {
    const node = this.#tree.lookup(path)
    return node === undefined ? undefined : toEntry(node)
  }

  async list(path: LayerPath): Promise<readonly TreeEntry[]> {
    return this.#tree.children(path).map(toEntry)
  }

  async prefetch(): Promise<void> {}

  async fileDigests(paths: readonly LayerPath[]): Promise<readonly Digest[]> {
    return paths.map((path) => {
      const entry = this.#tree.lookup(path)?.entry
      if (entry?.type !== 'file') {
        throw new CopyError('source-missing', `could not copy from ${this.description}: "/${path}": not a file`)
      }
      return entry.digest
    })
  }

  /** Unpacks the layers that hold these files, so that `source` can name them. */
  async unpackFor(paths: Iterable<LayerPath>, signal: AbortSignal): Promise<void> {
    const indexes = new Set<number>()
    for (const path of paths) {
      const node = this.#tree.lookup(path)
      if (node !== undefined) {
        indexes.add(node.layer)
      }
    }
    await Promise.all(
      [...indexes].map(async (index) => {
        const layer = this.#stack[index]
        if (layer !== undefined) {
          this.#roots.set(index, `${(await this.#access.directory(layer, signal)).path}/fs`)
        }
      }),
    )
  }

  source(path: LayerPath): PackSource {
    const node = this.#tree.lookup(path)
    const root = node === undefined ? undefined : this.#roots.get(node.layer)
    if (node === undefined || root === undefined) {
      throw new TypeError(`the layer of /${path} in ${this.description} was not unpacked`)
    }
    return { kind: 'path', root, path: node.source }
  }

  /** The regular file that `path` leads to as a process would see it: which layer has it, and where. */
  locate(path: string): { readonly layer: LayerStack[number]; readonly source: LayerPath } | undefined {
    const resolution = this.#tree.resolve(path)
    if (resolution.kind !== 'found' || resolution.node.entry.type !== 'file') {
      return undefined
    }
    const layer = this.#stack[resolution.node.layer]
    return layer === undefined ? undefined : { layer, source: resolution.node.source }
  }
}

function toEntry({ path, entry, layer, source }: TreeNode): TreeEntry {
  const metadata = {
    path,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtimeSec: entry.mtimeSec,
    ...(entry.xattrs === undefined ? {} : { xattrs: entry.xattrs }),
  }
  switch (entry.type) {
    case 'dir':
    case 'fifo':
      return { ...metadata, type: entry.type }
    case 'file':
      // Names of one file share layer and source; a group of one does no harm.
      return { ...metadata, type: 'file', sizeBytes: entry.sizeBytes, linkGroup: `${layer}:${source}` }
    case 'symlink':
      return { ...metadata, type: 'symlink', mode: 0o777, target: entry.target }
    case 'char':
    case 'block':
      return { ...metadata, type: entry.type, major: entry.major, minor: entry.minor }
    default:
      return entry satisfies never
  }
}
