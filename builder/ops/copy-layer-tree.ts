import type { Digest } from '../../registry-client/oci/index.ts'
import type {
  LayerEntry,
  LayerPath,
  MergedLayers,
  PackSource,
  StackNode,
} from '../../snapshotter/index.ts'
import type { SourceTree, TreeEntry, TreeFile, TreePlace } from './copy-source.ts'

export interface LayerSourceOptions {
  readonly layers: MergedLayers<LayerEntry>
  /** `stage build`, `image busybox`. */
  readonly description: string
  /** Host directory with the files of each layer, bottom first; asked for layers whose files are copied. */
  readonly rootOf: (layer: number) => string
}

/**
 * The filesystem of a stage or image as a tree that COPY reads from. All comes from the tables of contents, a few pages
 * at a time; files are looked for on disk only when they are packed.
 */
export class LayerSource implements SourceTree {
  readonly description: string
  readonly #options: LayerSourceOptions

  constructor(options: LayerSourceOptions) {
    this.description = options.description
    this.#options = options
  }

  async lookup(path: LayerPath): Promise<TreeEntry | undefined> {
    const node = await this.#options.layers.lookup(path)
    return node === undefined ? undefined : toEntry(node, true)
  }

  async list(path: LayerPath): Promise<readonly TreeEntry[]> {
    const children: TreeEntry[] = []
    for await (const page of this.#options.layers.children(path)) {
      children.push(...page.map((node) => toEntry(node, node.isLinked)))
    }
    return children
  }

  async *walk(path: LayerPath): AsyncGenerator<readonly TreeEntry[]> {
    for await (const page of this.#options.layers.walk(path)) {
      yield page.map((node) => toEntry(node, node.isLinked))
    }
  }

  fileDigests(files: readonly TreeFile[]): Promise<readonly Digest[]> {
    return Promise.resolve(files.map((file) => this.#digestOf(file)))
  }

  source({ root, path }: TreePlace): PackSource {
    return { kind: 'path', root: this.#options.rootOf(Number(root)), path }
  }

  #digestOf({ digest, path }: TreeFile): Digest {
    if (digest === undefined) {
      throw new TypeError(`/${path} is no file of ${this.description}`)
    }
    return digest
  }
}

/** Called for every file that is copied: in one piece. */
function toEntry(
  { entry, layer, source }: StackNode<LayerEntry>,
  mayHaveOtherNames: boolean,
): TreeEntry {
  if (entry.type !== 'file') {
    return entry
  }
  const { path, mode, uid, gid, mtimeSec, sizeBytes, digest, xattrs } = entry
  const linkGroup = mayHaveOtherNames ? `${layer}:${source}` : undefined
  const place = { root: String(layer), path: source }
  const metadata = { type: 'file', path, mode, uid, gid, mtimeSec, sizeBytes } as const
  return xattrs === undefined
    ? { ...metadata, linkGroup, digest, place }
    : { ...metadata, linkGroup, digest, place, xattrs }
}
