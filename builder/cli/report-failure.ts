import { DockerfileErrors } from '../../frontend/index.ts'
import { BuildError } from '../errors.ts'
import type { OutputStream } from './command.ts'
import { hintFor } from './error-hints.ts'
import { CommandError, UsageError } from './errors.ts'
import { FailedBuild } from './failed-build.ts'
import { neutralise } from './progress/terminal-text.ts'

/** Exit statuses (features row C61); interrupted commands end with 130 or 143 instead. */
const STATUS_FAILED = 1
const STATUS_USAGE = 2

/**
 * Prints why a command failed: what could not be done and why, where in the Dockerfile, what to do. Returns the exit
 * status. Of a command that was interrupted nothing but that is said.
 */
export function reportFailure(
  error: unknown,
  stderr: Pick<OutputStream, 'write'>,
  options: { readonly isInterrupted: boolean; readonly isDebug: boolean },
): number {
  if (options.isInterrupted) {
    stderr.write('ERROR: interrupted\n')
    return STATUS_FAILED
  }
  const build = error instanceof FailedBuild ? error : undefined
  const failure = build?.cause ?? error
  if (build !== undefined) {
    stderr.write(build.excerpt)
  }
  const shown = build ?? failure
  const message = shown instanceof Error ? shown.message : String(shown)
  stderr.write(
    `ERROR: ${build === undefined ? '' : `failed to ${build.doing}: `}${safe(message)}\n`,
  )
  for (const hint of [hintOf(failure), build?.step?.advice]) {
    if (hint !== undefined) stderr.write(`HINT: ${safe(hint)}\n`)
  }
  if (options.isDebug || isUnexpected(failure)) {
    stderr.write(`${safe(traceOf(failure))}\n`)
  }
  return failure instanceof UsageError ? STATUS_USAGE : STATUS_FAILED
}

/** The hint of the error, or of the first of its causes that has one. */
function hintOf(error: unknown): string | undefined {
  for (const one of causesOf(error).flatMap(withFaults)) {
    const hint = one instanceof CommandError ? one.hint : undefined
    const code = 'code' in one && typeof one.code === 'string' ? one.code : ''
    const known = hint ?? hintFor(isOutOfSpace(one) ? 'ENOSPC' : code)
    if (known !== undefined) {
      return known
    }
  }
  return undefined
}

/** A Dockerfile may have several faults, each with a code. */
function withFaults(error: Error): readonly Error[] {
  return error instanceof DockerfileErrors ? [error, ...error.list] : [error]
}

/** A step whose command could not write because our disk is full. */
function isOutOfSpace(error: Error): boolean {
  return (
    error instanceof BuildError &&
    (error.details.outputTail ?? []).some((line) => line.includes('No space left on device'))
  )
}

function causesOf(error: unknown): Error[] {
  const causes: Error[] = []
  for (let one = error; one instanceof Error && !causes.includes(one); one = one.cause) {
    causes.push(one)
  }
  return causes
}

/** An error without a code is a fault of ours: its stack helps whoever reports it. */
function isUnexpected(error: unknown): boolean {
  return !(error instanceof Error) || !('code' in error || 'list' in error)
}

function traceOf(error: unknown): string {
  return causesOf(error)
    .map((one) => one.stack ?? one.message)
    .join('\ncaused by: ')
}

function safe(text: string): string {
  return text.split('\n').map(neutralise).join('\n')
}
