import { type FileHandle, open, readFile, writeFile } from 'node:fs/promises'
import { readFailure, writeFailure } from './errors.ts'

const PIECE_BYTES = 1 << 20

/** Text of a small file. Errors: `readFailure` of `what`. */
export async function readText(what: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw readFailure(what, path, error)
  }
}

export interface WriteTextOptions {
  /** `wx`: there must be nothing yet. */
  readonly flag?: 'wx'
  readonly mode?: number
}

/** Writes a small file at once. Errors: `writeFailure` of `what`. */
export async function writeText(
  what: string,
  path: string,
  text: string,
  options: WriteTextOptions = {},
): Promise<void> {
  try {
    await writeFile(path, text, options)
  } catch (error) {
    throw writeFailure(what, path, error)
  }
}

/** A file that is read and written in pieces. Errors: `readFailure` and `writeFailure` of what it is. */
export class NamedFile implements AsyncDisposable {
  readonly path: string
  readonly #what: string
  readonly #handle: FileHandle

  private constructor(what: string, path: string, handle: FileHandle) {
    this.path = path
    this.#what = what
    this.#handle = handle
  }

  /** To be read. Errors: those of open(2). */
  static async open(what: string, path: string): Promise<NamedFile> {
    return new NamedFile(what, path, await open(path, 'r'))
  }

  /** A new one, of this user alone. Errors: those of open(2). */
  static async create(what: string, path: string): Promise<NamedFile> {
    return new NamedFile(what, path, await open(path, 'wx+', 0o600))
  }

  async sizeBytes(): Promise<number> {
    return (await this.#handle.stat()).size
  }

  /** Up to `length` bytes; fewer at the end of the file. */
  async readAt(position: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length)
    let filled = 0
    try {
      while (filled < length) {
        const rest = length - filled
        const { bytesRead } = await this.#handle.read(bytes, filled, rest, position + filled)
        if (bytesRead === 0) break
        filled += bytesRead
      }
    } catch (error) {
      throw readFailure(this.#what, this.path, error)
    }
    return bytes.subarray(0, filled)
  }

  /** All of it, in order. */
  async *pieces(): AsyncGenerator<Buffer> {
    // Most files are small, and a deep stack of layers has many.
    const length = Math.min(PIECE_BYTES, (await this.sizeBytes()) + 1)
    for (let position = 0; ; position += length) {
      const piece = await this.readAt(position, length)
      if (piece.length > 0) yield piece
      if (piece.length < length) return
    }
  }

  /** All of `bytes`. */
  async writeAt(position: number, bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        const rest = bytes.length - done
        done += (await this.#handle.write(bytes, done, rest, position + done)).bytesWritten
      }
    } catch (error) {
      throw writeFailure(this.#what, this.path, error)
    }
  }

  /** Waits until what was written is on the disk. */
  async sync(): Promise<void> {
    try {
      await this.#handle.datasync()
    } catch (error) {
      throw writeFailure(this.#what, this.path, error)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
  }
}
