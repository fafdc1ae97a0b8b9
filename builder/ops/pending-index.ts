import { type LayerFinder, type LayerFinding, LayerIndex } from '../../snapshotter/index.ts'
import type { PendingChanges } from '../solver/layer.ts'

/** The layer was packed meanwhile: its table of contents is there. */
class ChangesGone extends Error {
  override readonly name = 'ChangesGone'
}

/** Finds paths in a layer that is being packed, and in its table of contents from when it is. */
export class PendingIndex implements LayerFinder {
  readonly #packed: () => Promise<LayerFinder>
  #current: LayerFinder

  private constructor(current: LayerFinder, packed: () => Promise<LayerFinder>) {
    this.#current = current
    this.#packed = packed
  }

  /** `packed` waits for the packing. */
  static async open(
    changes: PendingChanges,
    packed: () => Promise<LayerFinder>,
  ): Promise<LayerFinder> {
    const first = await changes.page(0)
    if (first === undefined) return await packed()
    const pages = {
      count: first.pageCount,
      page: async (index: number) => {
        const page = await changes.page(index)
        if (page === undefined) throw new ChangesGone('the layer is packed')
        return page.entries
      },
    }
    return new PendingIndex(new LayerIndex(pages), packed)
  }

  async find(path: string): Promise<LayerFinding> {
    try {
      return await this.#current.find(path)
    } catch (error) {
      if (!(error instanceof ChangesGone)) throw error
      this.#current = await this.#packed()
      return await this.#current.find(path)
    }
  }
}
