import type { RunCommand } from '../../instructions/run.ts'

/** A simple command of a shell script: its words, quotes removed. */
export type ShellCommand = readonly string[]

/** An escape, a quoted text, what separates commands, blanks, and other text. */
const TOKEN = /\\.|'[^']*'|"(?:\\.|[^"\\])*"|[;|&\n(){}]|\s|[^\\'"\s;|&(){}]+|./gsu
const SEPARATOR = /^[;|&\n(){}]/
const PREFIX = /^(?:[A-Za-z_]\w*=.*|sudo|exec|env|time|command|then|else|do|if|while|!)$/s

/**
 * The simple commands that a RUN executes, in order, as far as they can be told without a shell: what stands in functions,
 * branches and substitutions counts too, what variables hold does not.
 */
export function commandsOf({ command }: RunCommand): readonly ShellCommand[] {
  const { args, isShellForm, heredocs } = command
  const [first = '', option = '', script] = args
  const texts = heredocs.map(({ content }) => content)
  if (isShellForm) texts.unshift(first)
  else if (script !== undefined && /sh$/.test(first) && option.startsWith('-')) texts.push(script)
  else return [args]
  return texts.flatMap(splitScript)
}

/** The first word that is no option, after the command itself. */
export function subcommandOf(command: ShellCommand): string | undefined {
  return command.slice(1).find((word) => !word.startsWith('-'))
}

function splitScript(text: string): ShellCommand[] {
  const commands: string[][] = [[]]
  let word = ''
  const endWord = () => {
    const words = commands.at(-1)
    const isPrefix = words?.length === 0 && PREFIX.test(word)
    if (word !== '' && !isPrefix) words?.push(word)
    word = ''
  }
  for (const [token] of text.matchAll(TOKEN)) {
    if (SEPARATOR.test(token)) {
      endWord()
      commands.push([])
    } else if (/^\s/.test(token)) endWord()
    else word += unquote(token)
  }
  endWord()
  return commands.filter((words) => words.length > 0)
}

function unquote(token: string): string {
  if (token.startsWith('\\')) return token.slice(1).replace('\n', '')
  return /^["'].+["']$/s.test(token) ? token.slice(1, -1) : token
}
