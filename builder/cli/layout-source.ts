import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Kernel } from '../../snapshotter/index.ts'
import { CommandError } from './errors.ts'

/** Files of a layout, opened by descriptor below it: links in it lead nowhere else. Errors: `archive-unreadable`. */
export class LayoutSource {
  readonly #directory: string
  readonly #kernel: Pick<Kernel, 'openInRoot'>

  constructor(directory: string, kernel: Pick<Kernel, 'openInRoot'>) {
    this.#directory = directory
    this.#kernel = kernel
  }

  async readIfThere(name: string, sizeBytesMax: number): Promise<Buffer | undefined> {
    try {
      await stat(join(this.#directory, name))
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
        return undefined
      }
      throw error
    }
    return await this.read(name, sizeBytesMax)
  }

  async read(name: string, sizeBytesMax: number): Promise<Buffer> {
    const chunks: Buffer[] = []
    let sizeBytes = 0
    for await (const chunk of this.open(name)) {
      sizeBytes += chunk.length
      if (sizeBytes > sizeBytesMax) {
        throw new CommandError(
          'archive-unreadable',
          `could not load images: ${name} has more than ${sizeBytesMax} bytes`,
        )
      }
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  }

  async *open(name: string): AsyncGenerator<Buffer> {
    let fd: number
    try {
      fd = this.#kernel.openInRoot(this.#directory, name)
    } catch (error) {
      throw new CommandError(
        'archive-unreadable',
        `could not load images: ${name} is missing or no file`,
        { cause: error },
      )
    }
    // The stream closes the descriptor at its end, and when it is left before.
    for await (const chunk of createReadStream('', { fd, highWaterMark: 1 << 20 })) {
      const bytes: Buffer = chunk
      yield bytes
    }
  }
}
