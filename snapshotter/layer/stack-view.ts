import type { DiffEntry } from '../snapshotter.ts'
import type { LayerPath } from './entry.ts'
import type { LayerFinder } from './layer-index.ts'
import { parentOf } from './order.ts'
import { impliedDirectory, type TreeEntry } from './tree.ts'

/** What is at a path of a stack of layers. */
export interface StackNode<E extends DiffEntry = DiffEntry> {
  readonly entry: TreeEntry<E>
  /** Index of the layer that holds it; -1 for a root that no layer mentions. */
  readonly layer: number
  /** Path of the bytes in that layer's directory. */
  readonly source: LayerPath
}

/** Directories whose layers are remembered. */
const DIRECTORIES_MAX = 4096

/**
 * The merged view of a stack of layers for who asks for a few paths (where a COPY writes to): the rules of `MergedLayers`,
 * without reading what is not asked for. Layers may still be without a table of contents.
 */
export class StackView<E extends DiffEntry = DiffEntry> {
  readonly #layers: readonly LayerFinder<E>[]
  /** For each directory the layers that show through in it, top first. */
  readonly #showing = new Map<LayerPath, readonly number[]>()

  /** Bottom layer first. */
  constructor(layers: readonly LayerFinder<E>[]) {
    this.#layers = layers
  }

  /** What is at `path` itself; no symlink is followed. '' is the root. */
  async lookup(path: LayerPath): Promise<StackNode<E> | undefined> {
    if (path !== '') return await this.#lookupIn(await this.layersIn(parentOf(path)), path)
    for (const layer of this.#all()) {
      const entry = (await this.#layers[layer]?.find(''))?.entry
      if (entry !== undefined) return { entry, layer, source: '' }
    }
    return { entry: impliedDirectory(''), layer: -1, source: '' }
  }

  async #lookupIn(layers: Iterable<number>, path: LayerPath): Promise<StackNode<E> | undefined> {
    let implied: StackNode<E> | undefined
    for (const layer of layers) {
      const found = await this.#layers[layer]?.find(path)
      if (found === undefined) continue
      const { entry, source } = found
      const isDirectory = entry?.type === 'dir'
      if (entry !== undefined && (isDirectory || (implied === undefined && !found.hasBelow))) {
        return { entry, layer, source }
      }
      // A layer that has `a/b` makes `a` a directory even where a lower one, or itself, has a file.
      if (found.hasBelow) implied = { entry: impliedDirectory(path), layer, source: path }
      if (entry !== undefined || found.isWhiteout) return implied
    }
    return implied
  }

  *#all(): Generator<number> {
    for (let layer = this.#layers.length - 1; layer >= 0; layer -= 1) yield layer
  }

  /** The layers that show through in a directory, top first. */
  async layersIn(directory: LayerPath): Promise<readonly number[]> {
    const known = this.#showing.get(directory)
    if (known !== undefined) return known
    const candidates = directory === '' ? this.#all() : await this.layersIn(parentOf(directory))
    const showing: number[] = []
    for (const layer of candidates) {
      const found = await this.#layers[layer]?.find(directory)
      if (found === undefined) continue
      const { entry } = found
      if (entry?.type === 'dir' || found.concernsBelow) showing.push(layer)
      if (found.isWhiteout || found.isOpaque || (entry !== undefined && entry.type !== 'dir')) break
    }
    if (this.#showing.size >= DIRECTORIES_MAX) this.#showing.clear()
    this.#showing.set(directory, showing)
    return showing
  }
}
