import type { CopyNode, NodeId } from '../../frontend/index.ts'
import type { Store } from '../../snapshotter/index.ts'
import type { CopyInputs } from '../solver/cache-key.ts'
import type { LayerStack } from '../solver/layer.ts'
import { type Selection, type SelectedSource, selectSources } from './copy-select.ts'
import { placeOf, type SourceTree } from './copy-source.ts'
import { StackTree } from './stack-tree.ts'

/** A source of COPY: layers of a stage or image, or files on the host. */
export type CopyInput =
  | { readonly kind: 'stack'; readonly layers: LayerStack; readonly description: string }
  | { readonly kind: 'files'; readonly tree: SourceTree }

export interface CopySelectionParts {
  readonly store: Pick<Store, 'lease'>
  /** The filesystem of a stack as a tree; waits until it is packed. */
  readonly openStack: (stack: LayerStack, description: string) => Promise<StackTree>
  /** All paths and patterns that the steps of the node's build take out of a context. */
  readonly takenFrom: (node: CopyNode, context: NodeId) => readonly string[]
}

/** What the sources select, looked for once; the lists are kept until they are taken, or the step has ended. */
export class CopySelection implements AsyncDisposable {
  readonly #find: () => Promise<Selection>
  #found: Promise<Selection> | undefined
  #contents: CopyInputs['sources'] | undefined

  constructor(node: CopyNode, sources: ReadonlyMap<NodeId, CopyInput>, parts: CopySelectionParts) {
    this.#find = async () =>
      await selectSources({
        node,
        treeOf: (source) => treeOf(source.from, sources, parts),
        takenFrom: (source) => parts.takenFrom(node, source.from),
        reader: 'copy',
        newFile: () => parts.store.lease.temporaryPath(),
      })
  }

  async contents(): Promise<CopyInputs['sources']> {
    if (this.#contents === undefined) {
      this.#found ??= this.#find()
      const { sources } = await this.#found
      this.#contents = sources.map((source) => ({
        pattern: source.type === 'path' ? source.source.pattern : source.name,
        content: source.digest,
      }))
    }
    return this.#contents
  }

  /** For the caller to dispose; once. */
  async take(): Promise<Selection> {
    await this.contents()
    const found = this.#found
    this.#found = undefined
    if (found === undefined) {
      throw new TypeError('a selection is taken once')
    }
    return await found
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Whoever asked for it was told why it failed.
    const [found] = await Promise.allSettled([this.#found])
    if (found.status === 'fulfilled') {
      await found.value?.[Symbol.asyncDispose]()
    }
  }
}

async function treeOf(
  id: NodeId,
  sources: ReadonlyMap<NodeId, CopyInput>,
  parts: CopySelectionParts,
): Promise<SourceTree> {
  const input = sources.get(id)
  if (input === undefined) {
    throw new RangeError(`node ${id} is no source of this COPY`)
  }
  return input.kind === 'files'
    ? input.tree
    : await parts.openStack(input.layers, input.description)
}

/** What is copied out of layers must lie unpacked: only the layers that hold selected files do. */
export async function unpackSources(
  selection: readonly SelectedSource[],
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    selection.map(async (selected) => {
      if (selected.type === 'path' && selected.tree instanceof StackTree) {
        await selected.tree.unpackFor(rootsOf(selected.matches), signal)
      }
    }),
  )
}

/** Of the places of the files that were selected. */
export function rootsOf(
  matches: Extract<SelectedSource, { type: 'path' }>['matches'],
): ReadonlySet<string> {
  const roots = new Set<string>()
  for (const { entry, items } of matches) {
    if (entry.type === 'file') roots.add(placeOf(entry).root)
    for (const root of items.roots) roots.add(root)
  }
  return roots
}
