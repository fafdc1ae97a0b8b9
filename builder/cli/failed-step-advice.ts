import { resolve } from 'node:path'
import type { RunMount } from '../../frontend/index.ts'
import { BuildError, StepError } from '../errors.ts'
import type { FailedStepKeeper, KeepOutcome } from '../ops/keep-failed.ts'
import type { ParsedArgs } from './args.ts'
import type { CommandContext } from './command.ts'
import { UsageError } from './errors.ts'
import { readCsvPairs } from './request/csv.ts'

/** What is done with the files of a failed RUN (`--on-failure`); `keep-if-room`: nobody said. */
export type OnFailure = 'keep-if-room' | 'keep' | 'shell' | 'discard'

/** A failed step of a build that has ended, and whether there can be a shell in it. */
export interface FailedStepNews {
  readonly id: string
  readonly outcome: KeepOutcome
}

/** Reads `--on-failure`. Throws `UsageError` for an unknown word, and for `shell` where nobody could type into one. */
export function readOnFailure(
  args: ParsedArgs,
  { stdin, stdout }: Pick<CommandContext, 'stdin' | 'stdout'>,
): OnFailure {
  const action = args.text('on-failure')
  if (action === undefined) return 'keep-if-room'
  if (action !== 'keep' && action !== 'shell' && action !== 'discard') {
    throw new UsageError(`unknown --on-failure "${action}" (known: keep, shell, discard)`)
  }
  if (action === 'shell' && (stdin.isTTY !== true || stdout.isTTY !== true)) {
    throw new UsageError(
      "--on-failure=shell needs a terminal; without one build as usual, and pipe commands into 'tsbuild shell' afterwards",
    )
  }
  return action
}

/** What became of the step that `error` is about; undefined when it is about something else. */
export function newsOf(
  error: unknown,
  keeper: FailedStepKeeper | undefined,
): FailedStepNews | undefined {
  const cause = error instanceof StepError ? error.cause : error
  const id = cause instanceof BuildError ? cause.details.failedStep : undefined
  const outcome = id === undefined ? undefined : keeper?.outcome(id)
  return id === undefined || outcome === undefined ? undefined : { id, outcome }
}

/** The command for a shell in the step, with the secrets that the step has had, or why there is none. */
export function shellAdvice(
  { id, outcome }: FailedStepNews,
  args: ParsedArgs,
  cwd: string,
): string {
  if (!outcome.isKept) {
    return `no shell can be opened in the step: its files were not kept: ${outcome.reason}`
  }
  const root = args.text('root')
  const words = [
    'tsbuild',
    'shell',
    ...(root === undefined || root === '' ? [] : ['--root', resolve(cwd, root)]),
    ...flagsFor(outcome.mounts, args),
    id,
  ]
  return `open a shell in the step as it failed: ${words.map(quoted).join(' ')}`
}

function flagsFor(mounts: readonly RunMount[], args: ParsedArgs): string[] {
  const secrets = new Set(mounts.flatMap((one) => (one.type === 'secret' ? [one.secretId] : [])))
  const agents = new Set(mounts.flatMap((one) => (one.type === 'ssh' ? [one.sshId] : [])))
  return [
    ...args
      .list('secret')
      .filter((text) => secrets.has(secretId(text)))
      .flatMap((text) => ['--secret', text]),
    ...args
      .list('ssh')
      .filter((text) => agents.has(text.replace(/=.*$/s, '')))
      .flatMap((text) => ['--ssh', text]),
  ]
}

function secretId(text: string): string {
  return readCsvPairs(text).find(({ key }) => key.toLowerCase() === 'id')?.value ?? ''
}

/** As a word of a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
