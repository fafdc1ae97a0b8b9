import { ContentsPages, MergedLayers } from '../../snapshotter/index.ts'
import type { LayerStack } from '../solver/layer.ts'
import { LayerSource } from './copy-layer-tree.ts'
import type { LayerAccess } from './layer-access.ts'

/**
 * The filesystem of a stage or image as a tree that COPY reads from. A layer is unpacked only when the
 * bytes of one of its files are to be packed: call `unpackFor` before `source`.
 */
export class StackTree extends LayerSource {
  readonly #stack: LayerStack
  readonly #access: LayerAccess
  readonly #roots: Map<number, string>

  private constructor(
    description: string,
    parts: {
      readonly layers: readonly ContentsPages[]
      readonly stack: LayerStack
      readonly access: LayerAccess
    },
  ) {
    const roots = new Map<number, string>()
    const rootOf = (layer: number): string => {
      const root = roots.get(layer)
      if (root === undefined) {
        throw new TypeError(`layer ${layer} of ${description} was not unpacked`)
      }
      return root
    }
    super({ description, layers: new MergedLayers(parts.layers), rootOf })
    this.#stack = parts.stack
    this.#access = parts.access
    this.#roots = roots
  }

  /** Waits until all layers of `stack` are packed; finds (or makes) their tables of contents. */
  static async open(
    description: string,
    stack: LayerStack,
    access: LayerAccess,
    signal: AbortSignal,
  ): Promise<StackTree> {
    const opened = stack.map(async (layer) =>
      ContentsPages.open(await access.contents(layer, signal)),
    )
    return new StackTree(description, { layers: await Promise.all(opened), stack, access })
  }

  /** Unpacks the layers that hold files at these places (`roots` of their `TreePlace`). */
  async unpackFor(roots: Iterable<string>, signal: AbortSignal): Promise<void> {
    await Promise.all([...roots].map((root) => this.#unpack(Number(root), signal)))
  }

  async #unpack(index: number, signal: AbortSignal): Promise<void> {
    const layer = this.#stack[index]
    if (layer !== undefined) {
      this.#roots.set(index, `${(await this.#access.directory(layer, signal)).path}/fs`)
    }
  }
}
