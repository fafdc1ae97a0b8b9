/**
 * Cuts the output of a step into lines as a terminal would leave them: a carriage return without a line feed overwrites
 * the line, so of a progress bar only its last state comes out. Lines without an end are held back.
 */
export class LineSplitter {
  /** A line that never ends must not grow without bound. */
  static readonly lineLengthMax: number = 8192
  #pending = ''

  push(text: string): string[] {
    const lines = (this.#pending + text).split('\n')
    this.#pending = lines.pop() ?? ''
    if (this.#pending.length > LineSplitter.lineLengthMax) {
      lines.push(this.#pending)
      this.#pending = ''
    }
    return lines.map(lastState)
  }

  /** The line that has not ended yet, if any. */
  end(): string | undefined {
    const line = this.#pending
    this.#pending = ''
    return line === '' ? undefined : lastState(line)
  }

  /** What the unended line shows now. */
  get pending(): string {
    return lastState(this.#pending)
  }
}

function lastState(line: string): string {
  const trimmed = line.endsWith('\r') ? line.slice(0, -1) : line
  return trimmed.slice(trimmed.lastIndexOf('\r') + 1)
}
