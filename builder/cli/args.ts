import { parseArgs } from 'node:util'
import { UsageError } from './errors.ts'
import { nearestWord } from './nearest-word.ts'

/** One flag of a command. `boolean` takes no value but `=true`/`=false`; of `text` the last one counts; `list` may be repeated. */
export interface FlagSpec {
  readonly kind: 'boolean' | 'text' | 'list'
  readonly short?: string
  /** Placeholder of the value in the help. */
  readonly value?: string
  /** One line of help; a flag without it is accepted but not shown. */
  readonly help?: string
}

export type FlagSpecs = Readonly<Record<string, FlagSpec>>

/** The flags and arguments of one command line, read but not yet understood. */
export interface ParsedArgs {
  readonly positionals: readonly string[]
  /** True when the flag was given with any value. */
  has(flag: string): boolean
  /** Value of a boolean flag, undefined when it was not given. */
  boolean(flag: string): boolean | undefined
  /** Last value of a text flag. */
  text(flag: string): string | undefined
  /** All values of a list flag, in order. */
  list(flag: string): readonly string[]
}

export interface ParseOptions {
  /** The first argument ends the flags: what follows belongs to another program (`run IMAGE ls -l`). */
  readonly stopAtArgument?: boolean
}

/**
 * Reads `argv` by the rules that users of docker know (pflag): flags and arguments in any order, `--flag value`,
 * `--flag=value`, `-f value`, `-fvalue`, `-f=value`, short booleans run together (`-qf x`), `--` ends the flags, a
 * value may begin with `-`. Throws `UsageError` for an unknown flag (with the nearest known one), a missing value and a
 * boolean that is neither true nor false.
 */
export function readArgs(
  argv: readonly string[],
  specs: FlagSpecs,
  options: ParseOptions = {},
): ParsedArgs {
  const own = options.stopAtArgument === true ? untilFirstArgument(argv, specs) : argv
  const values = new Map<string, string[]>()
  const positionals: string[] = []
  for (const token of tokenize(own, specs)) {
    if (token.kind === 'positional') {
      positionals.push(token.value)
    } else if (token.kind === 'option') {
      const spec = knownFlag(token.name, token.rawName, specs)
      const list = values.get(token.name) ?? []
      list.push(flagValue(spec, token))
      values.set(token.name, list)
    }
  }
  positionals.push(...argv.slice(own.length))
  return {
    positionals,
    has: (flag) => values.has(flag),
    boolean: (flag) => {
      const value = values.get(flag)?.at(-1)
      return value === undefined ? undefined : value === 'true'
    },
    text: (flag) => values.get(flag)?.at(-1),
    list: (flag) => values.get(flag) ?? [],
  }
}

type Token = ReturnType<typeof tokenize>[number]
type OptionToken = Extract<Token, { kind: 'option' }>

function tokenize(argv: readonly string[], specs: FlagSpecs) {
  const options: Record<string, { type: 'boolean' | 'string'; short?: string }> = {}
  for (const [name, spec] of Object.entries(specs)) {
    const type = spec.kind === 'boolean' ? 'boolean' : 'string'
    options[name] = spec.short === undefined ? { type } : { type, short: spec.short }
  }
  // Not strict: the checks are ours, so that messages and `--pull=false` are as in docker.
  const config = {
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  } as const
  return parseArgs(config).tokens
}

/** `argv` up to and with its first argument; a `--` before it is part of it. */
function untilFirstArgument(argv: readonly string[], specs: FlagSpecs): readonly string[] {
  const first = tokenize(argv, specs).find((token) => token.kind === 'positional')
  return first === undefined ? argv : argv.slice(0, first.index + 1)
}

function knownFlag(name: string, rawName: string, specs: FlagSpecs): FlagSpec {
  const spec = Object.hasOwn(specs, name) ? specs[name] : undefined
  if (spec !== undefined) {
    return spec
  }
  if (!rawName.startsWith('--')) {
    const hint =
      name === '=' ? ' (a value of a short boolean needs its long name: --flag=false)' : ''
    throw new UsageError(`unknown shorthand flag: '${name}' in ${rawName}${hint}`)
  }
  const shown = Object.keys(specs).filter((flag) => specs[flag]?.help !== undefined)
  const nearest = nearestWord(name, shown)
  throw new UsageError(
    `unknown flag: ${rawName}${nearest === undefined ? '' : `; did you mean --${nearest}?`}`,
  )
}

const TRUE_WORDS: ReadonlySet<string> = new Set(['1', 't', 'T', 'TRUE', 'true', 'True'])
const FALSE_WORDS: ReadonlySet<string> = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False'])

function flagValue(spec: FlagSpec, token: OptionToken): string {
  if (spec.kind === 'boolean') {
    const isTrue = readBoolean(token.value ?? 'true')
    if (isTrue === undefined) {
      throw new UsageError(
        `invalid argument "${token.value}" for ${token.rawName}: it must be true or false`,
      )
    }
    return String(isTrue)
  }
  if (token.value === undefined) {
    throw new UsageError(`flag needs an argument: ${token.rawName}`)
  }
  const isShort = !token.rawName.startsWith('--')
  // `-t=x`: the sign belongs to the flag, not to the value.
  return isShort && token.inlineValue && token.value.startsWith('=')
    ? token.value.slice(1)
    : token.value
}

/** The boolean that Go's `strconv.ParseBool` reads from `text`, undefined when it is none. */
export function readBoolean(text: string): boolean | undefined {
  if (TRUE_WORDS.has(text)) {
    return true
  }
  return FALSE_WORDS.has(text) ? false : undefined
}
