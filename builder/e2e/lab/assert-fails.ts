import assert from 'node:assert/strict'
import type { CommandResult } from './cli.ts'
import type { Lab } from './lab.ts'

/**
 * A failure as a user wants it: the exit status, words that must be said, no stack trace, and a state root without
 * garbage.
 */
export async function assertFails(
  lab: Lab,
  result: CommandResult,
  status: number,
  ...said: readonly RegExp[]
): Promise<void> {
  assert.equal(result.status, status, result.text)
  for (const pattern of said) assert.match(result.stderr, pattern)
  assert.doesNotMatch(result.stderr, /^\s+at .*\.js:\d+/m, 'a stack trace is not a message')
  assert.deepEqual(await lab.unfinished(), [])
}

/** The state root is unharmed: a build works in it, and leaves nothing. */
export async function assertUnharmed(lab: Lab): Promise<void> {
  const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY . /\n' }, 'unharmed')
  await lab.build(['-t', 'unharmed', context])
  assert.deepEqual(await lab.unfinished(), [])
}
