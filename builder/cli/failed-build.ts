import { DockerfileErrors, renderLocation } from '../../frontend/index.ts'
import { BuildError, StepError } from '../errors.ts'
import { neutralise } from './progress/terminal-text.ts'

/** A build that failed, with what is shown above the error: the end of a step's output, the places in the Dockerfile. */
export class FailedBuild extends Error {
  override readonly name = 'FailedBuild'
  /** Ends with a line end, or is empty. */
  readonly excerpt: string

  constructor(cause: unknown, excerpt: string) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.excerpt = excerpt
  }
}

/**
 * What is shown of a failure above its message (features rows C143, D19): the title of the step with its last lines, and the lines of
 * the Dockerfile. `isLogShown`: the progress view has shown the whole output of the step already.
 */
export function describeFailedBuild(error: unknown, isLogShown: boolean): FailedBuild {
  if (error instanceof StepError) {
    return new FailedBuild(error.cause, `${isLogShown ? '' : stepOutput(error)}${place(error)}`)
  }
  if (error instanceof DockerfileErrors) {
    const places = error.list.map(({ range }) => (range === undefined ? '' : `${renderLocation(error.fileName, error.source, range)}\n`))
    return new FailedBuild(error, [...new Set(places)].join(''))
  }
  return new FailedBuild(error, '')
}

function place({ location: { range, dockerfile } }: StepError): string {
  return range === undefined ? '' : `${renderLocation(dockerfile.name, dockerfile.text, range)}\n`
}

function stepOutput({ location: { step }, cause }: StepError): string {
  const tail = cause instanceof BuildError ? cause.details.outputTail : undefined
  if (tail === undefined) {
    return ''
  }
  const lines = ['------', ` > ${neutralise(step.replace(/\s*\n\s*/g, ' '))}:`, ...tail.map(neutralise), '------']
  return `${lines.join('\n')}\n`
}
