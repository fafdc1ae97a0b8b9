import type { Command, CommandEntry } from '../command.ts'
import { UsageError } from '../errors.ts'
import { renderCommandHelp, renderMainHelp } from '../help-text.ts'
import { nearestWord } from '../nearest-word.ts'

/** `help` over the commands of the table. */
export const helpCommand = (commands: readonly CommandEntry[]): Command => ({
  name: 'help',
  usage: 'help [COMMAND]',
  description: 'Shows what tsbuild can do, or the options of one command.',
  flags: {},
  arguments: { min: 0, max: 1 },
  run: async (args, { stdout }) => {
    const [word] = args.positionals
    if (word === undefined) {
      stdout.write(renderMainHelp(commands))
      return 0
    }
    const entry = commands.find(({ name }) => name === word)
    if (entry === undefined) {
      const nearest = nearestWord(
        word,
        commands.map(({ name }) => name),
      )
      throw new UsageError(
        `unknown command: ${word}${nearest === undefined ? '' : `; did you mean ${nearest}?`}`,
      )
    }
    stdout.write(renderCommandHelp(await entry.load()))
    return 0
  },
})
