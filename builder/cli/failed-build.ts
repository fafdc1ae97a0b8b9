/** A build that failed, with what is shown above the error: the end of a step's output, the place in the Dockerfile. */
export class FailedBuild extends Error {
  override readonly name = 'FailedBuild'
  /** Ends with a line end, or is empty. */
  readonly excerpt: string

  constructor(cause: unknown, excerpt: string) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.excerpt = excerpt
  }
}
