import { splitCommandLine } from './command-line.ts'
import { COMMANDS } from './command-table.ts'
import { runCommand } from './run-command.ts'
import { runProcess } from './run-process.ts'

/**
 * Settles when the command has ended. Nothing heavy is imported here: each command loads what it needs, so `tsbuild --help`
 * takes what bare node takes.
 */
export const ended: Promise<void> = runProcess(async (context) => {
  const names = new Set(COMMANDS.map(({ name }) => name))
  const { word, rest } = splitCommandLine(process.argv.slice(2), names)
  const entry = COMMANDS.find(({ name }) => name === word)
  if (entry === undefined) {
    throw new Error(`could not find the command ${word} in the table`)
  }
  return runCommand(await entry.load(), rest, context)
})
