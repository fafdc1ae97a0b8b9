import { existsSync } from 'node:fs'
import { UsageError } from './errors.ts'
import { nearestWord } from './nearest-word.ts'

/** The command word of a command line and what follows it. */
export interface CommandLine {
  readonly word: string
  readonly rest: readonly string[]
}

/**
 * Finds the command in `argv` (without node and script). A first word that is no command means `build`, so that
 * `tsbuild -t x .` builds; `--root DIR` may stand before the command. No words, `--help` and `-h` mean `help`. Throws
 * `UsageError` for a word that is nearly a command and no path.
 */
export function splitCommandLine(argv: readonly string[], names: ReadonlySet<string>): CommandLine {
  const rootLength = argv[0] === '--root' ? 2 : argv[0]?.startsWith('--root=') === true ? 1 : 0
  const root = argv.slice(0, rootLength)
  const [word, ...rest] = argv.slice(rootLength)
  if (word === undefined || word === '--help' || word === '-h') {
    return { word: 'help', rest: [] }
  }
  if (word === '--version') {
    return { word: 'version', rest: [] }
  }
  refuseMistyped(word, names)
  return names.has(word) ? { word, rest: [...root, ...rest] } : { word: 'build', rest: argv }
}

/** `tsbuild imags` must not end as "path imags not found". */
function refuseMistyped(word: string, names: ReadonlySet<string>): void {
  if (names.has(word) || !/^[a-z]+$/.test(word) || existsSync(word)) {
    return
  }
  const nearest = nearestWord(word, [...names])
  if (nearest !== undefined) {
    throw new UsageError(`unknown command: ${word}; did you mean ${nearest}?`)
  }
}
