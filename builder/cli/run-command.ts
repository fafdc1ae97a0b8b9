import { readArgs } from './args.ts'
import type { Command, CommandContext } from './command.ts'
import { UsageError } from './errors.ts'
import { renderCommandHelp } from './help-text.ts'

const HELP_FLAG = { help: { kind: 'boolean', short: 'h', help: 'Show this help' } } as const

/** Reads the flags of `command` and runs it; `--help` anywhere among them shows its help instead. */
export async function runCommand(
  command: Command,
  argv: readonly string[],
  context: CommandContext,
): Promise<number> {
  const specs = { ...HELP_FLAG, ...command.flags }
  const args = readArgs(argv, specs, command.parsing)
  if (args.boolean('help') === true) {
    context.stdout.write(renderCommandHelp(command))
    return 0
  }
  const { min, max } = command.arguments
  if (args.positionals.length < min || args.positionals.length > max) {
    const amount =
      min === max ? `${min}` : max === Infinity ? `at least ${min}` : `${min} to ${max}`
    const noun = min === 1 && (max === 1 || max === Infinity) ? 'argument' : 'arguments'
    throw new UsageError(
      `'tsbuild ${command.name}' requires ${amount} ${noun}, got ${args.positionals.length}` +
        `\nUsage:  tsbuild ${command.usage}\nRun 'tsbuild ${command.name} --help' for more information`,
    )
  }
  return command.run(args, context)
}
