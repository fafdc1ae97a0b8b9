import type { PackEntry } from '../../snapshotter/index.ts'
import type { KeyInputs } from '../solver/cache-key.ts'

/**
 * COPY, ADD and WORKDIR give what they make themselves (directories, files of heredocs) the time of SOURCE_DATE_EPOCH, so it
 * is in their key. Where they make nothing they are the same step with any other.
 */

/** The inputs as they are without SOURCE_DATE_EPOCH; undefined when there is none in them. */
export function withoutEpoch(inputs: KeyInputs): KeyInputs | undefined {
  return inputs.kind === 'run' || inputs.epochSec === undefined
    ? undefined
    : { ...inputs, epochSec: undefined }
}

/** Looks for a time in the entries of a layer: what none of them has cannot have been used. */
export class TimeWatch {
  readonly timeSec: number
  #isFound = false

  constructor(timeSec: number) {
    this.timeSec = timeSec
  }

  /** The pages as they are. */
  async *over(
    pages: AsyncIterable<readonly PackEntry[]> | Iterable<readonly PackEntry[]>,
  ): AsyncGenerator<readonly PackEntry[]> {
    for await (const page of pages) {
      this.#isFound ||= page.some((entry) => 'mtimeSec' in entry && entry.mtimeSec === this.timeSec)
      yield page
    }
  }

  /** After all pages. */
  get isTimeless(): boolean {
    return !this.#isFound
  }
}
