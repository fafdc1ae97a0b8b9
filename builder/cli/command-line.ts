/** The command word of a command line and what follows it. */
export interface CommandLine {
  readonly word: string
  readonly rest: readonly string[]
}

/**
 * Finds the command in `argv` (without node and script). A first word that is no command means `build`, so that
 * `tsbuild -t x .` builds; `--root DIR` may stand before the command. No words, `--help` and `-h` mean `help`.
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
  return names.has(word) ? { word, rest: [...root, ...rest] } : { word: 'build', rest: argv }
}
