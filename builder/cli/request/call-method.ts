import { readBoolean, type ParsedArgs } from '../args.ts'
import { UsageError } from '../errors.ts'
import { readCsvPairs } from './csv.ts'

/** `--call` and `--check` (features rows L24-L27). */
export interface CallMethod {
  readonly method: 'check' | 'outline' | 'targets' | 'subrequests.describe'
  readonly format: 'text' | 'json'
  /** Warnings do not make the exit status 1. */
  readonly ignoresStatus: boolean
}

/** What to do instead of a build; undefined: build. Throws `UsageError`. */
export function readCallMethod(args: ParsedArgs): CallMethod | undefined {
  const text = args.boolean('check') === true ? 'check' : args.text('call')
  if (text === undefined || text === '') {
    return undefined
  }
  const [first, ...options] = readCsvPairs(text)
  const name = first?.value === undefined ? (first?.key ?? '').toLowerCase() : ''
  const refuse = (reason: string): UsageError =>
    new UsageError(`invalid argument "${text}" for "--call" flag: ${reason}`)
  const fields = new Map(options.map(({ key, value }) => [key, value]))
  const unknown = [...fields.keys()].find((key) => key !== 'format' && key !== 'ignorestatus')
  if (unknown !== undefined) {
    throw refuse(`unknown key "${unknown}" (known: format, ignorestatus)`)
  }
  const format = fields.get('format') ?? 'text'
  if (format !== 'text' && format !== 'json') {
    throw refuse(`unknown format "${format}" (known: text, json)`)
  }
  const ignoresStatus =
    fields.has('ignorestatus') && readBoolean(fields.get('ignorestatus') ?? 'true')
  if (ignoresStatus === undefined) {
    throw refuse('ignorestatus must be true or false')
  }
  switch (name) {
    case 'build':
      return undefined
    case 'check':
    case 'lint':
      return { method: 'check', format, ignoresStatus }
    case 'outline':
    case 'targets':
    case 'subrequests.describe':
      return { method: name, format, ignoresStatus }
    default:
      throw refuse(
        `unknown method "${name}" (known: build, check, outline, targets, subrequests.describe)`,
      )
  }
}
