import type { DiffEntry } from '../snapshotter.ts'
import type { LayerPath } from './entry.ts'
import { isBelow } from './entry-cursor.ts'
import type { MergedLayers } from './merged-layers.ts'
import { comparePaths } from './order.ts'

type WhiteoutEntry = Extract<DiffEntry, { type: 'whiteout' }>
/** Where they are added. */
interface Whiteouts {
  push(entry: WhiteoutEntry): unknown
}
type LowerLayers = Pick<MergedLayers<DiffEntry>, 'walk'>

/**
 * Writes each opaque directory as whiteouts of what it hides in `lower` (features row O18: readers differ in when they apply an
 * opaque mark, explicit whiteouts mean the same to all). Inside an opaque directory no directory is merged with a lower one.
 * Changes come sorted, in pages, and so does what is given.
 */
export async function* expandOpaque<E extends DiffEntry>(
  changes: AsyncIterable<readonly E[]>,
  lower: LowerLayers,
): AsyncGenerator<(E | WhiteoutEntry)[]> {
  let hidden: HiddenLayers | undefined
  for await (const page of changes) {
    const expanded: (E | WhiteoutEntry)[] = []
    for (const entry of page) {
      if (hidden !== undefined && !isBelow(entry.path, hidden.root)) {
        await hidden.passAll(expanded)
        hidden = undefined
      }
      if (entry.type === 'opaque') {
        hidden ??= new HiddenLayers(entry.path, lower)
        continue
      }
      await hidden?.passTo(entry, expanded)
      expanded.push(entry)
    }
    yield expanded
  }
  const rest: WhiteoutEntry[] = []
  await hidden?.passAll(rest)
  yield rest
}

/** What lies below an opaque directory, read beside the changes in it. */
class HiddenLayers {
  readonly root: LayerPath
  readonly #pages: AsyncIterator<readonly { readonly path: LayerPath }[]>
  #page: readonly { readonly path: LayerPath }[] = []
  #at = 0
  /** What is below it needs no whiteout. */
  #covered: LayerPath | undefined

  constructor(root: LayerPath, lower: LowerLayers) {
    this.root = root
    this.#pages = lower.walk(root)[Symbol.asyncIterator]()
  }

  /** Adds a whiteout for all that lies before `entry` and is not in the changes. */
  async passTo(entry: DiffEntry, whiteouts: Whiteouts): Promise<void> {
    for (;;) {
      const path = await this.#current()
      const order = path === undefined ? 1 : comparePaths(path, entry.path)
      if (path === undefined || order > 0) return
      this.#at += 1
      if (order < 0) this.#hide(path, whiteouts)
      else if (entry.type !== 'dir') this.#covered = path
    }
  }

  async passAll(whiteouts: Whiteouts): Promise<void> {
    for (let path = await this.#current(); path !== undefined; path = await this.#current()) {
      this.#at += 1
      this.#hide(path, whiteouts)
    }
  }

  #hide(path: LayerPath, whiteouts: Whiteouts): void {
    if (this.#covered !== undefined && isBelow(path, this.#covered)) return
    whiteouts.push({ type: 'whiteout', path })
    this.#covered = path
  }

  async #current(): Promise<LayerPath | undefined> {
    while (this.#at >= this.#page.length) {
      const { done, value } = await this.#pages.next()
      if (done === true) return undefined
      this.#page = value
      this.#at = 0
    }
    return this.#page[this.#at]?.path
  }
}
