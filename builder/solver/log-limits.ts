/** How much of a stream of a step is shown (features row X38); undefined: all. */
export interface LogLimits {
  readonly sizeBytesMax: number | undefined
  /** On average since the step began. */
  readonly bytesPerSecMax: number | undefined
}

export const LOG_LIMITS_DEFAULT: LogLimits = {
  sizeBytesMax: 2 * 1024 * 1024,
  bytesPerSecMax: 200 * 1024,
}

/** Of what was not shown the end is, when the step fails. */
const TAIL_LENGTH_MAX = 256 * 1024

/**
 * `BUILDKIT_STEP_LOG_MAX_SIZE` and `BUILDKIT_STEP_LOG_MAX_SPEED`, in bytes; -1 switches a limit off. `refuse` is told of
 * a value that is no number; the default holds then.
 */
export function readLogLimits(
  env: Readonly<Record<string, string | undefined>>,
  refuse: (message: string) => void,
): LogLimits {
  const read = (name: string, otherwise: number | undefined): number | undefined => {
    const text = env[name]
    if (text === undefined || text === '') {
      return otherwise
    }
    if (!/^(-1|\d{1,15})$/.test(text)) {
      refuse(`${name}=${text} is ignored: it must be a number of bytes, or -1 for no limit`)
      return otherwise
    }
    return text === '-1' ? undefined : Number(text)
  }
  return {
    sizeBytesMax: read('BUILDKIT_STEP_LOG_MAX_SIZE', LOG_LIMITS_DEFAULT.sizeBytesMax),
    bytesPerSecMax: read('BUILDKIT_STEP_LOG_MAX_SPEED', LOG_LIMITS_DEFAULT.bytesPerSecMax),
  }
}

/** One stream of one step, cut to its limits. */
export class LimitedLog {
  readonly #limits: LogLimits
  readonly #startedMs: number
  #seenBytes = 0
  #isClipped = false
  #tail = ''

  constructor(limits: LogLimits, startedMs: number) {
    this.#limits = limits
    this.#startedMs = startedMs
  }

  /** What of `text` is shown: all, a part with a line that says so, or nothing ('') while more than allowed comes. */
  take(text: string, nowMs: number): string {
    const room = this.#allowedBytes(nowMs) - this.#seenBytes
    const sizeBytes = Buffer.byteLength(text)
    this.#seenBytes += sizeBytes
    if (sizeBytes <= room) {
      this.#isClipped = false
      this.#tail = ''
      return text
    }
    const shown = text.slice(0, Math.max(0, room))
    this.#tail = (this.#tail + text.slice(shown.length)).slice(-TAIL_LENGTH_MAX)
    if (this.#isClipped) {
      return shown
    }
    this.#isClipped = true
    return `${shown}\n[output clipped, log limit ${this.#reason(nowMs)} reached]\n`
  }

  /** The end of what was clipped last; empty when nothing was. */
  get clippedTail(): string {
    return this.#tail
  }

  #allowedBytes(nowMs: number): number {
    const { sizeBytesMax = Infinity } = this.#limits
    return Math.min(sizeBytesMax, this.#allowedUntil(nowMs))
  }

  #allowedUntil(nowMs: number): number {
    const { bytesPerSecMax = Infinity } = this.#limits
    return bytesPerSecMax * Math.max(1, Math.ceil((nowMs - this.#startedMs) / 1000))
  }

  #reason(nowMs: number): string {
    const { sizeBytesMax, bytesPerSecMax = 0 } = this.#limits
    return sizeBytesMax !== undefined && sizeBytesMax <= this.#allowedUntil(nowMs)
      ? show(sizeBytesMax)
      : `${show(bytesPerSecMax)}/s`
  }
}

function show(bytes: number): string {
  const mebibytes = bytes / (1024 * 1024)
  return Number.isInteger(mebibytes) ? `${mebibytes}MiB` : `${Math.round(bytes / 102.4) / 10}KiB`
}
