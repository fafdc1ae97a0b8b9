import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import type { CommandContext } from './command.ts'
import { UsageError } from './errors.ts'

/**
 * Asks one question on the terminal. With `isHidden` what is typed is not shown. Throws `UsageError` when stdin is no
 * terminal: nobody would answer.
 */
export async function ask(
  question: string,
  options: { readonly isHidden: boolean },
  { stdin, stderr, signal }: Pick<CommandContext, 'stdin' | 'stderr' | 'signal'>,
): Promise<string> {
  if (stdin.isTTY !== true) {
    throw new UsageError(
      `could not ask for "${question.replace(/: $/, '')}": stdin is no terminal; give --username and --password-stdin`,
    )
  }
  stderr.write(question)
  // readline echoes what is typed to its output: for passwords that leads nowhere.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({
    input: stdin,
    output: options.isHidden ? nowhere : stderr,
    terminal: true,
  })
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve)
      lines.once('close', () => reject(new UsageError('no answer was given')))
      lines.once('SIGINT', () => process.kill(process.pid, 'SIGINT'))
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  } finally {
    lines.close()
    if (options.isHidden) {
      stderr.write('\n')
    }
  }
}

/** True for `y` and `yes`. */
export async function askYesNo(
  question: string,
  context: Pick<CommandContext, 'stdin' | 'stderr' | 'signal'>,
): Promise<boolean> {
  return /^y(?:es)?$/i.test((await ask(question, { isHidden: false }, context)).trim())
}
