import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, type Kernel } from '../../snapshotter/index.ts'
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
      if (errnoOf(error) === 'ENOENT') {
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

  open(name: string): AsyncGenerator<Buffer> {
    return bytesBelow(this.#directory, name, this.#kernel, {
      missing: `could not load images: ${name} is missing or no file`,
    })
  }
}

/**
 * Bytes of a file that is opened by descriptor below `directory`. Errors: `archive-unreadable` with the message `missing` when
 * there is no such file, or a link leads out.
 */
export async function* bytesBelow(
  directory: string,
  name: string,
  kernel: Pick<Kernel, 'openInRoot'>,
  { missing, startByte = 0 }: { readonly missing: string; readonly startByte?: number },
): AsyncGenerator<Buffer> {
  let fd: number
  try {
    fd = kernel.openInRoot(directory, name)
  } catch (cause) {
    // Without its errno it is no failure of the file: the addon is missing, for one.
    const isAboutFile = cause instanceof Error && 'errno' in cause && cause.errno !== 0
    if (!isAboutFile) throw cause
    throw new CommandError('archive-unreadable', missing, { cause })
  }
  // The stream closes the descriptor at its end, and when it is left before.
  const stream = createReadStream('', { fd, start: startByte, highWaterMark: 1 << 20 })
  for await (const chunk of stream) {
    const bytes: Buffer = chunk
    yield bytes
  }
}
