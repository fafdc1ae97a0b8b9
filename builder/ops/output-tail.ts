import { StringDecoder } from 'node:string_decoder'

type Stream = 'stdout' | 'stderr'

/** Keeps the last lines of a step's output for the report of its failure, and decodes UTF-8 that arrives in pieces. */
export class OutputTail {
  readonly #linesMax: number
  readonly #decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') }
  readonly #partial: Record<Stream, string> = { stdout: '', stderr: '' }
  #lines: string[] = []

  constructor(linesMax: number) {
    this.#linesMax = linesMax
  }

  /** The text of `bytes`, without a character that is not complete yet. */
  add(stream: Stream, bytes: Uint8Array): string {
    const text = this.#decoders[stream].write(
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    )
    const lines = (this.#partial[stream] + text).split('\n')
    // A program that prints megabytes without a newline must not make us keep them.
    this.#partial[stream] = (lines.pop() ?? '').slice(-LINE_LENGTH_MAX)
    this.#lines = [...this.#lines, ...lines].slice(-this.#linesMax)
    return text
  }

  get lines(): string[] {
    const open = Object.values(this.#partial).filter((line) => line !== '')
    return [...this.#lines, ...open].slice(-this.#linesMax)
  }
}

const LINE_LENGTH_MAX = 64 * 1024
