import { StringDecoder } from 'node:string_decoder'

/** Keeps the last lines of a step's output for the report of its failure, and decodes UTF-8 that arrives in pieces. */
export class OutputTail {
  readonly #linesMax: number
  readonly #decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') }
  #lines: string[] = []
  #partial = ''

  constructor(linesMax: number) {
    this.#linesMax = linesMax
  }

  /** The text of `bytes`, without a character that is not complete yet. */
  add(stream: 'stdout' | 'stderr', bytes: Uint8Array): string {
    const text = this.#decoders[stream].write(
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    )
    const lines = (this.#partial + text).split('\n')
    // A program that prints megabytes without a newline must not make us keep them.
    this.#partial = (lines.pop() ?? '').slice(-LINE_LENGTH_MAX)
    this.#lines = [...this.#lines, ...lines].slice(-this.#linesMax)
    return text
  }

  get lines(): string[] {
    const lines = this.#partial === '' ? this.#lines : [...this.#lines, this.#partial]
    return lines.slice(-this.#linesMax)
  }
}

const LINE_LENGTH_MAX = 64 * 1024
