import { goQuote, parseGoBool } from '../go-format.ts'
import { suggest } from '../suggest.ts'
import { parseByteSize } from './byte-size.ts'
import { csvFields } from './csv.ts'

/** `--mount=type=T,key=value,...` after expansion, checked; defaults that need the stage are not applied yet. */
export interface MountSpec {
  readonly type: MountType
  readonly from: string
  readonly source: string
  readonly target: string
  readonly isReadonly: boolean
  readonly sizeBytes: number | undefined
  readonly id: string
  readonly sharing: MountSharing | undefined
  readonly isRequired: boolean
  readonly env: string | undefined
  readonly mode: number | undefined
  readonly uid: number | undefined
  readonly gid: number | undefined
}

export type MountType = 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh'
export type MountSharing = 'shared' | 'private' | 'locked'

const TYPES: readonly MountType[] = ['bind', 'cache', 'tmpfs', 'secret', 'ssh']
const SHARINGS: readonly MountSharing[] = ['shared', 'private', 'locked']
const KEYS = [
  'type',
  'from',
  'source',
  'target',
  'readonly',
  'id',
  'sharing',
  'required',
  'size',
  'mode',
  'uid',
  'gid',
  'src',
  'dst',
  'destination',
  'ro',
  'rw',
  'readwrite',
  'env',
]

/** Why a mount is refused, in BuildKit's words. */
export class MountSyntaxError extends Error {
  override readonly name = 'MountSyntaxError'
  readonly focus: string | undefined
  readonly suggestion: string | undefined

  constructor(message: string, focus?: string, suggestion?: string) {
    super(message)
    this.focus = focus
    this.suggestion = suggestion
  }
}

/**
 * The `from` of a mount, known before any expansion because it decides which stages are needed (features rows D37, D74).
 * Throws MountSyntaxError for bad CSV and for a variable in it.
 */
export function mountFrom(text: string): string {
  let from = ''
  for (const field of fieldsOf(text)) {
    const at = field.indexOf('=')
    if (at < 0 || field.slice(0, at).toLowerCase() !== 'from') continue
    from = field.slice(at + 1)
    const dollar = from.indexOf('$')
    if (dollar >= 0 && dollar !== from.length - 1) {
      throw new MountSyntaxError(
        "'from' doesn't support variable expansion, define alias stage instead",
        from,
      )
    }
  }
  return from
}

function fieldsOf(text: string): readonly string[] {
  const fields = csvFields(text)
  if (fields === undefined) throw new MountSyntaxError('failed to parse csv mounts', text)
  return fields
}

/**
 * Reads a mount, expanding each value. Keys are taken from left to right, so `size` and `required` must come after `type`
 * (features row D67). Throws MountSyntaxError, and what `expand` throws.
 */
export function parseMount(text: string, expand: (word: string) => string): MountSpec {
  const reader = new MountReader()
  for (const field of fieldsOf(text)) {
    const at = field.indexOf('=')
    const key = (at < 0 ? field : field.slice(0, at)).toLowerCase()
    if (at < 0) reader.readBare(key, field)
    else reader.readPair(key, expand(field.slice(at + 1)), field)
  }
  return reader.finish()
}

class MountReader {
  #type: MountType = 'bind'
  #from = ''
  #source = ''
  #target = ''
  #isReadonly: boolean | undefined
  #sizeBytes: number | undefined
  #id = ''
  #sharing: MountSharing | undefined
  #isRequired = false
  #env: string | undefined
  readonly #numbers = new Map<'mode' | 'uid' | 'gid', number>()

  readBare(key: string, field: string): void {
    if (key === 'readonly' || key === 'ro') this.#isReadonly = true
    else if (key === 'readwrite' || key === 'rw') this.#isReadonly = false
    else if (key === 'required') this.#readRequired('true')
    else throw new MountSyntaxError(`invalid field '${field}' must be a key=value pair`, field)
  }

  readPair(key: string, value: string, field: string): void {
    switch (key) {
      case 'type':
        this.#type = oneOf(value, TYPES, 'mount type')
        return
      case 'from':
        this.#from = value
        return
      case 'source':
      case 'src':
        this.#source = value
        return
      case 'target':
      case 'dst':
      case 'destination':
        this.#target = value
        return
      case 'id':
        this.#id = value
        return
      case 'env':
        this.#env = value
        return
      case 'sharing':
        this.#sharing = oneOf(value, SHARINGS, 'sharing value')
        return
      default:
        this.#readChecked(key, value, field)
    }
  }

  #readChecked(key: string, value: string, field: string): void {
    switch (key) {
      case 'readonly':
      case 'ro':
        this.#isReadonly = readBool(key, value)
        return
      case 'readwrite':
      case 'rw':
        this.#isReadonly = !readBool(key, value)
        return
      case 'required':
        this.#readRequired(value)
        return
      case 'size':
        this.#readSize(value)
        return
      case 'mode':
      case 'uid':
      case 'gid':
        this.#numbers.set(key, readNumber(key, value))
        return
      default:
        throw new MountSyntaxError(
          `unexpected key '${key}' in '${field}'`,
          field,
          suggest(key, KEYS),
        )
    }
  }

  #readRequired(value: string): void {
    if (this.#type !== 'secret' && this.#type !== 'ssh') throw unexpectedKey('required', this.#type)
    this.#isRequired = readBool('required', value)
  }

  #readSize(value: string): void {
    if (this.#type !== 'tmpfs') throw unexpectedKey('size', this.#type)
    const bytes = parseByteSize(value)
    if (bytes === undefined) throw new MountSyntaxError(`invalid value for size: ${value}`, value)
    this.#sizeBytes = bytes
  }

  finish(): MountSpec {
    const type = this.#type
    if (type === 'bind' || type === 'tmpfs') {
      for (const key of this.#numbers.keys()) {
        throw new MountSyntaxError(`${key} not allowed for ${goQuote(type)} type mounts`, key)
      }
    }
    if (type === 'secret') this.#checkSecret()
    if (this.#sharing !== undefined && type !== 'cache') {
      throw new MountSyntaxError(`invalid cache sharing set for ${type} mount`, this.#sharing)
    }
    return {
      type,
      from: this.#from,
      source: this.#source,
      target: this.#target,
      isReadonly: this.#isReadonly ?? (type !== 'cache' && type !== 'tmpfs'),
      sizeBytes: this.#sizeBytes,
      id: this.#id,
      sharing: this.#sharing,
      isRequired: this.#isRequired,
      env: this.#env,
      mode: this.#numbers.get('mode'),
      uid: this.#numbers.get('uid'),
      gid: this.#numbers.get('gid'),
    }
  }

  #checkSecret(): void {
    if (this.#from !== '') throw new MountSyntaxError('secret mount should not have a from')
    if (this.#sharing !== undefined) {
      throw new MountSyntaxError('secret mount should not define sharing')
    }
    if (this.#source === '' && this.#target === '' && this.#id === '') {
      throw new MountSyntaxError('invalid secret mount. one of source, target required')
    }
    if (this.#source !== '' && this.#id !== '') {
      throw new MountSyntaxError("both source and id can't be set")
    }
  }
}

function unexpectedKey(key: string, type: MountType): MountSyntaxError {
  return new MountSyntaxError(`unexpected key '${key}' for mount type '${type}'`, key)
}

function oneOf<T extends string>(value: string, choices: readonly T[], what: string): T {
  const found = choices.find((choice) => choice === value.toLowerCase())
  if (found !== undefined) return found
  throw new MountSyntaxError(
    `unsupported ${what} ${goQuote(value)}`,
    value,
    suggest(value, choices),
  )
}

function readBool(key: string, value: string): boolean {
  const flag = parseGoBool(value)
  if (flag !== undefined) return flag
  throw new MountSyntaxError(`invalid value for ${key}: ${value}`, value)
}

function readNumber(key: 'mode' | 'uid' | 'gid', value: string): number {
  const number =
    key === 'mode' ? parseDigits(value, /^[0-7]+$/, 8) : parseDigits(value, /^\d+$/, 10)
  if (number !== undefined) return number
  throw new MountSyntaxError(`invalid value ${value} for ${key}`, value)
}

function parseDigits(value: string, digits: RegExp, base: number): number | undefined {
  if (!digits.test(value)) return undefined
  const number = Number.parseInt(value, base)
  return number <= 0xffffffff ? number : undefined
}
