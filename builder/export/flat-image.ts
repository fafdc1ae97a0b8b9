import { mkdir, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import {
  ARCHIVE_LIMITS,
  ContentsPages,
  type Kernel,
  type LayerEntry,
  MergedLayers,
  type WalkedNode,
} from '../../snapshotter/index.ts'
import type { BuiltImage } from '../image/built-image.ts'
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

/**
 * The files of an image as they are seen after all layers (whiteouts applied), without a mount and without privileges.
 * The files' bytes are unpacked into a directory of ours, every layer apart, by the addon, which follows symlinks only inside
 * that: a hostile layer cannot write outside. Disposing removes them.
 */
export class FlatImage implements AsyncDisposable {
  readonly #layers: MergedLayers<LayerEntry>
  readonly #kernel: FlatKernel
  readonly #directory: string

  private constructor(layers: MergedLayers<LayerEntry>, kernel: FlatKernel, directory: string) {
    this.#layers = layers
    this.#kernel = kernel
    this.#directory = directory
  }

  /**
   * The directory that holds the bytes of a file node, at `node.source` below it; that path may lead through symlinks of a
   * hostile layer, to be followed only as in a chroot.
   */
  directoryOf(node: Pick<FlatNode, 'layer'>): string {
    return layerDirectory(this.#directory, node.layer)
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
      for (const [index, layer] of image.layers.entries()) {
        const extractTo = layerDirectory(directory, index)
        await mkdir(extractTo)
        const blob = await services.ensureBlob(layer, signal)
        // `apply` in an empty directory: whiteouts are read as such, and make no files. Whoever reads or moves the files is
        // perhaps an ordinary user, and modes of 0000 are common (/etc/shadow).
        const options = {
          whiteouts: 'apply',
          ownership: 'none',
          opensAll: true,
          compression: 'auto',
          userXattr: false,
        } as const
        const contents = `${extractTo}.contents`
        const read = { blob, extractTo, limits: ARCHIVE_LIMITS, signal, ...options }
        await kernel.readLayer({ ...read, entries: { contents } })
        layers.push(await ContentsPages.open(contents))
      }
      return new FlatImage(new MergedLayers(layers), kernel, directory)
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

function layerDirectory(directory: string, index: number): string {
  return join(directory, String(index))
}
