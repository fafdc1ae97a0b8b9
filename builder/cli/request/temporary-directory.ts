import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { reasonOf } from '../../../snapshotter/index.ts'
import { CommandError } from '../errors.ts'

/** A new directory in TMPDIR for what a command takes in. Errors: `context-unreadable`. */
export async function makeTemporaryDirectory(prefix: string): Promise<string> {
  const parent = tmpdir()
  try {
    return await mkdtemp(join(parent, prefix))
  } catch (error) {
    throw new CommandError(
      'context-unreadable',
      `could not make a directory for temporary files: ${reasonOf(error)}`,
      { hint: `set TMPDIR to a directory that can be written (it is ${parent})`, cause: error },
    )
  }
}
