import type { WholeBlob } from '../solver/growing-blob.ts'
import type { Step } from '../solver/steps.ts'

/** Printers show a rate; more events than this a second only cost time. */
const PROGRESS_INTERVAL_MS = 100

/** How printers name a layer that is pushed. */
export function partOf(digest: string): string {
  return `sha256:${digest.slice('sha256:'.length, 'sha256:'.length + 12)}`
}

/** Tells the step now and then how much of a part has moved. */
export function partProgress(
  step: Pick<Step, 'progress'>,
  part: string,
  totalBytes: number | undefined,
): (currentBytes: number) => void {
  let toldMs = 0
  return (currentBytes) => {
    const nowMs = performance.now()
    if (nowMs - toldMs < PROGRESS_INTERVAL_MS) return
    toldMs = nowMs
    step.progress(part, { currentBytes, totalBytes, isDone: false })
  }
}

/** Progress of a layer that is sent while it is packed: it has its step's title until it has a digest. */
export class EarlyProgress {
  readonly #step: () => Pick<Step, 'progress'>
  readonly #title: string
  #tell: ((sentBytes: number) => void) | undefined
  #sentBytes = 0

  /** `step` is asked for when there is something to tell. */
  constructor(step: () => Pick<Step, 'progress'>, title: string) {
    this.#step = step
    this.#title = title.replace(/\s*\n\s*/g, ' ')
  }

  sent(sentBytes: number): void {
    this.#sentBytes = sentBytes
    this.#tell ??= partProgress(this.#step(), this.#title, undefined)
    this.#tell(sentBytes)
  }

  whole({ digest, sizeBytes }: WholeBlob): void {
    this.#tell = partProgress(this.#step(), partOf(digest), sizeBytes)
    if (this.#sentBytes === 0) return
    const bytes = { currentBytes: this.#sentBytes, totalBytes: undefined }
    this.#step().progress(this.#title, { ...bytes, isDone: true, note: 'sent while it was packed' })
  }
}
