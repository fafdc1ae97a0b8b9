import { type LayerPath, type StackNode, StackView } from '../../snapshotter/index.ts'
import type { LayerStack } from '../solver/layer.ts'
import { resolvePath } from './copy-resolve.ts'
import type { TreeEntry, TreeView } from './copy-source.ts'
import type { LayerAccess } from './layer-access.ts'
import type { LayerFilePlace } from './layer-file.ts'

/**
 * The filesystem that a COPY, ADD or WORKDIR writes to. It reads what is asked for and no more, and does not wait until the
 * layers are packed.
 */
export class BaseView implements Pick<TreeView, 'lookup'> {
  readonly #stack: LayerStack
  readonly #view: StackView

  private constructor(stack: LayerStack, view: StackView) {
    this.#stack = stack
    this.#view = view
  }

  static async open(
    stack: LayerStack,
    access: Pick<LayerAccess, 'index'>,
    signal: AbortSignal,
  ): Promise<BaseView> {
    const layers = await Promise.all(stack.map((layer) => access.index(layer, signal)))
    return new BaseView(stack, new StackView(layers))
  }

  async lookup(path: LayerPath): Promise<TreeEntry | undefined> {
    const node = await this.#view.lookup(path)
    return node === undefined ? undefined : toEntry(node)
  }

  /** The regular file that `path` leads to as a process with this root would see it. */
  async locate(path: string): Promise<LayerFilePlace | undefined> {
    const resolved = await resolvePath(this, path)
    const node = await this.#view.lookup(resolved.path)
    const layer = node === undefined ? undefined : this.#stack[node.layer]
    if (node?.entry.type !== 'file' || layer === undefined) return undefined
    return { layer, source: node.source }
  }
}

function toEntry({ entry, layer, source }: StackNode): TreeEntry {
  if (entry.type !== 'file') return entry
  const { path, mode, uid, gid, mtimeSec, sizeBytes, xattrs } = entry
  const linkGroup = `${layer}:${source}`
  const plain = { type: 'file', path, mode, uid, gid, mtimeSec, sizeBytes, linkGroup } as const
  return xattrs === undefined ? plain : { ...plain, xattrs }
}
