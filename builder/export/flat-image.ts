import { chmod, mkdir, mkdtemp, readdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import {
  ARCHIVE_LIMITS,
  ContentsPages,
  encodePath,
  type Kernel,
  type LayerEntry,
  MergedLayers,
  type WalkedNode,
} from '../../snapshotter/index.ts'
import type { BuiltImage } from '../image/built-image.ts'
import { ExportError } from './errors.ts'
import type { ExportServices } from './exporter.ts'

export type FlatNode = WalkedNode<LayerEntry>

/** What reading layers back needs. */
export type FlatKernel = Pick<Kernel, 'readLayer' | 'removeTree'>

export interface FlatImageParts {
  readonly kernel: FlatKernel
  readonly services: Pick<ExportServices, 'ensureBlob'>
  /** An existing directory; the layers' files are unpacked below it. */
  readonly workDirectory: string
}

interface UnpackedLayers {
  readonly layers: readonly ContentsPages[]
  /** Those in which nothing is below what is no directory. */
  readonly plain: ReadonlySet<number>
}

/**
 * The files of an image as they are seen after all layers (whiteouts applied), without a mount and without privileges.
 * The files' bytes are unpacked into a directory of ours, every layer apart, by the addon, which resolves no symlink: a hostile
 * layer cannot write outside. Disposing removes them.
 */
export class FlatImage implements AsyncDisposable {
  readonly #layers: MergedLayers<LayerEntry>
  readonly #plain: ReadonlySet<number>
  readonly #kernel: FlatKernel
  readonly #directory: string

  private constructor(
    { layers, plain }: UnpackedLayers,
    { kernel, directory }: { readonly kernel: FlatKernel; readonly directory: string },
  ) {
    this.#layers = new MergedLayers(layers)
    this.#plain = plain
    this.#kernel = kernel
    this.#directory = directory
  }

  /** The directory that holds the bytes of a file node, at `node.source` below it. */
  directoryOf(node: Pick<FlatNode, 'layer'>): string {
    return layerDirectory(this.#directory, node.layer)
  }

  /**
   * Host path of the bytes of a file node, for who changes them. Throws `image-invalid` when a symlink of the layer is above
   * it: it may lead anywhere.
   */
  async pathOf(node: Pick<FlatNode, 'layer' | 'source'>): Promise<Buffer> {
    const directory = this.directoryOf(node)
    const path = Buffer.concat([Buffer.from(`${directory}/`), encodePath(node.source)])
    if (this.#plain.has(node.layer)) return path
    const parent = path.subarray(0, path.lastIndexOf('/'))
    const real = await realpath(parent, { encoding: 'buffer' })
    const top = await realpath(directory, { encoding: 'buffer' })
    const expected = Buffer.concat([top, parent.subarray(Buffer.byteLength(directory))])
    if (real.equals(expected)) return path
    const message = `could not export: ${node.source} lies below a symbolic link of its own layer`
    throw new ExportError('image-invalid', message)
  }

  /** Sorted, parents first, without the root; as often as somebody asks. */
  pages(): AsyncIterable<readonly FlatNode[]> {
    return this.#layers.walk('')
  }

  static async open(
    image: BuiltImage,
    parts: FlatImageParts,
    signal: AbortSignal,
  ): Promise<FlatImage> {
    const { kernel, services, workDirectory } = parts
    const directory = await mkdtemp(join(workDirectory, 'image-'))
    try {
      const layers: ContentsPages[] = []
      const plain = new Set<number>()
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
        } as const
        const contents = `${extractTo}.contents`
        const read = { blob, extractTo, limits: ARCHIVE_LIMITS, signal, ...options }
        const { isPlain } = await kernel.readLayer({ ...read, entries: { contents } })
        if (isPlain) plain.add(index)
        const pages = await ContentsPages.open(contents)
        if (await hasClosed(pages)) await openDirectories(extractTo, signal)
        layers.push(pages)
      }
      return new FlatImage({ layers, plain }, { kernel, directory })
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

async function hasClosed(pages: ContentsPages): Promise<boolean> {
  for (let index = 0; index < pages.count; index += 1) {
    if ((await pages.page(index)).some(isClosed)) return true
  }
  return false
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
