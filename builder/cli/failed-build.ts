import { describeErrors, DockerfileErrors, renderLocation } from '../../frontend/index.ts'
import { BuildError, StepError } from '../errors.ts'
import { neutralise } from './progress/terminal-text.ts'

/** A build that failed, with what is shown above the error: the end of a step's output, the places in the Dockerfile. */
export class FailedBuild extends Error {
  override readonly name = 'FailedBuild'
  /** Ends with a line end, or is empty. */
  readonly excerpt: string
  /** The RUN that failed: its name for `tsbuild shell` when its files were kept, and what to say about that. */
  readonly step: { readonly id: string | undefined; readonly advice: string } | undefined
  /** What it failed to do. */
  readonly doing: 'build' | 'check'

  constructor(cause: unknown, excerpt: string, { step, doing = 'build' }: FailureDetails) {
    super(messageOf(cause), { cause })
    this.excerpt = excerpt
    this.step = step
    this.doing = doing
  }
}

export interface FailureDetails {
  readonly step?: FailedBuild['step']
  readonly doing?: FailedBuild['doing'] | undefined
}

/**
 * What is shown of a failure above its message (features rows C143, D19): the title of the step with its last lines, and the lines of
 * the Dockerfile. `isLogShown`: the progress view has shown the whole output of the step already.
 */
export async function describeFailedBuild(
  error: unknown,
  isLogShown: boolean,
  details: FailureDetails,
): Promise<FailedBuild> {
  if (error instanceof StepError) {
    const excerpt = `${isLogShown ? '' : stepOutput(error)}${place(error)}`
    return new FailedBuild(error.cause, excerpt, details)
  }
  if (error instanceof DockerfileErrors) {
    return new FailedBuild(error, await faults(error), details)
  }
  return new FailedBuild(error, '', details)
}

/** All errors of the file; the message of an only one comes last, in the line that says ERROR. */
async function faults(errors: DockerfileErrors): Promise<string> {
  const text = await describeErrors(errors)
  const [only, ...others] = errors.list
  if (only === undefined || others.length > 0 || !text.endsWith(only.message)) {
    return `${text}\n`
  }
  return text.slice(0, text.length - only.message.length)
}

function place({ location: { range, dockerfile } }: StepError): string {
  return range === undefined ? '' : `${renderLocation(dockerfile.name, dockerfile.text, range)}\n`
}

function stepOutput({ location: { step }, cause }: StepError): string {
  const tail = cause instanceof BuildError ? cause.details.outputTail : undefined
  if (tail === undefined) {
    return ''
  }
  const lines = [
    '------',
    ` > ${neutralise(step.replace(/\s*\n\s*/g, ' '))}:`,
    ...tail.map(neutralise),
    '------',
  ]
  return `${lines.join('\n')}\n`
}

function messageOf(cause: unknown): string {
  if (cause instanceof DockerfileErrors && cause.list.length > 1) {
    return `${cause.fileName} has ${cause.list.length} errors`
  }
  if (cause instanceof Error && 'syscall' in cause && cause.name === 'Error') {
    // Node's own error of a call on a file of ours: it says why, and not what that ends.
    return `could not go on: ${cause.message}`
  }
  return cause instanceof Error ? cause.message : String(cause)
}
