import { chmod, mkdir, mkdtemp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  ARCHIVE_LIMITS,
  type Kernel,
  type LayerEntry,
  LayerTree,
  type TreeNode,
} from '../../snapshotter/index.ts'
import type { BuiltImage } from '../image/built-image.ts'
import type { ExportServices } from './exporter.ts'

/** What reading layers back needs. */
export type FlatKernel = Pick<Kernel, 'readLayer' | 'removeTree'>

export interface FlatImageParts {
  readonly kernel: FlatKernel
  readonly services: Pick<ExportServices, 'ensureBlob'>
  /** An existing directory; the layers' files are unpacked below it. */
  readonly workDirectory: string
}

/**
 * The files of an image as they are seen after all layers (whiteouts applied), without a mount and without privileges.
 * The files' bytes are unpacked into a directory of ours, every layer apart, by the addon, which resolves no symlink: a hostile
 * layer cannot write outside. Disposing removes them.
 */
export class FlatImage implements AsyncDisposable {
  /** Sorted, parents first, without the root. */
  readonly nodes: readonly TreeNode[]
  readonly #kernel: FlatKernel
  readonly #directory: string

  private constructor(nodes: readonly TreeNode[], kernel: FlatKernel, directory: string) {
    this.nodes = nodes
    this.#kernel = kernel
    this.#directory = directory
  }

  /** The directory that holds the bytes of a file node, at `node.source` below it. */
  directoryOf(node: TreeNode): string {
    return layerDirectory(this.#directory, node.layer)
  }

  static async open(
    image: BuiltImage,
    parts: FlatImageParts,
    signal: AbortSignal,
  ): Promise<FlatImage> {
    const { kernel, services, workDirectory } = parts
    const directory = await mkdtemp(join(workDirectory, 'image-'))
    try {
      const contents = []
      for (const [index, layer] of image.layers.entries()) {
        const extractTo = layerDirectory(directory, index)
        await mkdir(extractTo)
        const blob = await services.ensureBlob(layer, signal)
        // `apply` in an empty directory: whiteouts are read as such, and make no files.
        const options = {
          whiteouts: 'apply',
          ownership: 'none',
          compression: 'auto',
          userXattr: false,
          entries: 'list',
        } as const
        const read = { blob, extractTo, limits: ARCHIVE_LIMITS, signal, ...options }
        const { entries } = await kernel.readLayer(read)
        if (entries.some(isClosed)) await openDirectories(extractTo, signal)
        contents.push(entries)
      }
      const nodes = [...LayerTree.of(contents).walk('')].filter(({ path }) => path !== '')
      return new FlatImage(nodes, kernel, directory)
    } catch (error) {
      // The signal that ended the work must not stop the cleaning up.
      await kernel.removeTree(directory, new AbortController().signal)
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kernel.removeTree(this.#directory, new AbortController().signal)
  }
}

/** Its owner may not list, enter or change it: an ordinary user could not take files out of it. */
function isClosed(entry: LayerEntry): boolean {
  return entry.type === 'dir' && (entry.mode & 0o700) !== 0o700
}

/** From the root down through real directories only, in a tree that nobody else knows: no link is followed. */
async function openDirectories(directory: string | Buffer, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  await chmod(directory, 0o700)
  for (const entry of await readdir(directory, { withFileTypes: true, encoding: 'buffer' })) {
    if (!entry.isDirectory()) continue
    const parts = [Buffer.from(directory), Buffer.from('/'), entry.name]
    await openDirectories(Buffer.concat(parts), signal)
  }
}

function layerDirectory(directory: string, index: number): string {
  return join(directory, String(index))
}
