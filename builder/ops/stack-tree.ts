import { type LayerPath, LayerTree } from '../../snapshotter/index.ts'
import type { LayerStack } from '../solver/layer.ts'
import { LayerSource } from './copy-layer-tree.ts'
import type { LayerAccess } from './layer-access.ts'

/**
 * The filesystem of a stage or image as a tree that COPY reads from. A layer is unpacked only when the
 * bytes of one of its files are to be packed: call `unpackFor` before `source`.
 */
export class StackTree extends LayerSource {
  readonly #tree: LayerTree
  readonly #stack: LayerStack
  readonly #access: LayerAccess
  readonly #roots: Map<number, string>

  private constructor(
    description: string,
    parts: { readonly tree: LayerTree; readonly stack: LayerStack; readonly access: LayerAccess },
  ) {
    const roots = new Map<number, string>()
    const rootOf = (layer: number): string => {
      const root = roots.get(layer)
      if (root === undefined) {
        throw new TypeError(`layer ${layer} of ${description} was not unpacked`)
      }
      return root
    }
    super({ description, tree: parts.tree, rootOf })
    this.#tree = parts.tree
    this.#stack = parts.stack
    this.#access = parts.access
    this.#roots = roots
  }

  /** Waits until all layers of `stack` are packed; reads (or makes) their tables of contents. */
  static async open(
    description: string,
    stack: LayerStack,
    access: LayerAccess,
    signal: AbortSignal,
  ): Promise<StackTree> {
    const files = await Promise.all(stack.map((layer) => access.contents(layer, signal)))
    return new StackTree(description, { tree: await LayerTree.load(files), stack, access })
  }

  /** Unpacks the layers that hold these files. */
  async unpackFor(paths: AsyncIterable<LayerPath>, signal: AbortSignal): Promise<void> {
    const indexes = new Set<number>()
    for await (const path of paths) {
      const node = this.#tree.lookup(path)
      if (node?.entry.type === 'file') {
        indexes.add(node.layer)
      }
    }
    await Promise.all([...indexes].map((index) => this.#unpack(index, signal)))
  }

  async #unpack(index: number, signal: AbortSignal): Promise<void> {
    const layer = this.#stack[index]
    if (layer !== undefined) {
      this.#roots.set(index, `${(await this.#access.directory(layer, signal)).path}/fs`)
    }
  }
}
