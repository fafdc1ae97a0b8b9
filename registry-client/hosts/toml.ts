import { RegistryError } from '../errors.ts'

export type TomlValue = string | number | boolean | readonly TomlValue[] | TomlTable
export type TomlTable = { [key: string]: TomlValue }

const KEY = /(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))/y
const BLANKS = /[ \t]*/y
const BLANKS_AND_LINES = /(?:\s|#[^\n]*)*/y
const REST_OF_LINE = /[ \t]*(?:#[^\n]*)?(?:\r?\n|$)/y
const BASIC_STRING = /"((?:[^"\\\n]|\\.)*)"/y
const LITERAL_STRING = /'([^'\n]*)'/y
const BARE = /[A-Za-z0-9+._:-]+/y
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['b', '\b'],
  ['t', '\t'],
  ['n', '\n'],
  ['f', '\f'],
  ['r', '\r'],
  ['"', '"'],
  ['\\', '\\'],
])

/**
 * The part of TOML that registry configuration files are written in: tables, arrays of tables,
 * strings on one line, numbers, booleans, arrays, inline tables. Everything else is a RegistryError
 * `bad-configuration` with file and line, never a guess.
 */
export function parseToml(text: string, file: string): TomlTable {
  return new TomlParser(text, file).parse()
}

class TomlParser {
  readonly #text: string
  readonly #file: string
  readonly #root: TomlTable = emptyTable()
  #position = 0

  constructor(text: string, file: string) {
    this.#text = text
    this.#file = file
  }

  parse(): TomlTable {
    let table = this.#root
    for (;;) {
      this.#match(BLANKS_AND_LINES)
      if (this.#position >= this.#text.length) return this.#root
      if (this.#take('[[')) table = this.#arrayElement()
      else if (this.#take('[')) table = this.#namedTable()
      else this.#pair(table)
      if (this.#match(REST_OF_LINE) === undefined) throw this.#bad('more on the line than expected')
    }
  }

  #namedTable(): TomlTable {
    const path = this.#path()
    if (!this.#take(']')) throw this.#bad('expected ]')
    return this.#descend(path)
  }

  #arrayElement(): TomlTable {
    const path = this.#path()
    if (!this.#take(']]')) throw this.#bad('expected ]]')
    const parent = this.#descend(path.slice(0, -1))
    const key = path.at(-1) ?? ''
    const list = parent[key] ?? []
    if (!Array.isArray(list)) throw this.#bad(`${key} is not an array of tables`)
    const element = emptyTable()
    parent[key] = [...list, element]
    return element
  }

  /** The table at a path; of an array of tables, its last element. */
  #descend(path: readonly string[]): TomlTable {
    let table = this.#root
    for (const key of path) {
      const value = table[key] ?? emptyTable()
      table[key] = value
      const inner = Array.isArray(value) ? value.at(-1) : value
      if (!isTable(inner)) throw this.#bad(`${key} is not a table`)
      table = inner
    }
    return table
  }

  #pair(table: TomlTable): void {
    const [key = '', ...more] = this.#path()
    if (more.length > 0) throw this.#bad('dotted keys are not supported here')
    if (!this.#take('=')) throw this.#bad('expected =')
    if (Object.hasOwn(table, key)) throw this.#bad(`${key} is set twice`)
    this.#match(BLANKS)
    table[key] = this.#value()
  }

  #path(): string[] {
    const path: string[] = []
    do {
      this.#match(BLANKS)
      const key = this.#match(KEY)
      if (key === undefined) throw this.#bad('expected a key')
      path.push(key[3] ?? key[2] ?? this.#unescaped(key[1] ?? ''))
      this.#match(BLANKS)
    } while (this.#take('.'))
    return path
  }

  #value(): TomlValue {
    const basic = this.#match(BASIC_STRING)
    if (basic !== undefined) return this.#unescaped(basic[1] ?? '')
    const literal = this.#match(LITERAL_STRING)
    if (literal !== undefined) return literal[1] ?? ''
    if (this.#take('[')) return this.#array()
    if (this.#take('{')) return this.#inlineTable()
    const bare = this.#match(BARE)?.[0] ?? ''
    if (bare === 'true' || bare === 'false') return bare === 'true'
    if (/^[+-]?\d{1,15}$/.test(bare)) return Number(bare)
    throw this.#bad('expected a string, number, boolean, array or table')
  }

  #array(): TomlValue[] {
    const items: TomlValue[] = []
    for (;;) {
      this.#match(BLANKS_AND_LINES)
      if (this.#take(']')) return items
      items.push(this.#value())
      this.#match(BLANKS_AND_LINES)
      if (!this.#take(',') && this.#text[this.#position] !== ']') throw this.#bad('expected , or ]')
    }
  }

  #inlineTable(): TomlTable {
    const table = emptyTable()
    for (;;) {
      this.#match(BLANKS)
      if (this.#take('}')) return table
      this.#pair(table)
      this.#match(BLANKS)
      if (!this.#take(',') && this.#text[this.#position] !== '}') throw this.#bad('expected , or }')
    }
  }

  #unescaped(text: string): string {
    return text.replaceAll(/\\(.)/g, (_whole, character: string) => {
      const meaning = ESCAPES.get(character)
      if (meaning === undefined) throw this.#bad(`the escape \\${character} is not supported`)
      return meaning
    })
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#position)) return false
    this.#position += text.length
    return true
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#position
    const match = pattern.exec(this.#text)
    if (match === null) return undefined
    this.#position = pattern.lastIndex
    return match
  }

  #bad(reason: string): RegistryError {
    const line = this.#text.slice(0, this.#position).split('\n').length
    return new RegistryError('bad-configuration', `${this.#file}:${line}: ${reason}`)
  }
}

/** Keys come from a file: none of them may be a member of Object's prototype. */
function emptyTable(): TomlTable {
  return Object.create(null)
}

export function isTable(value: TomlValue | undefined): value is TomlTable {
  return typeof value === 'object' && !Array.isArray(value)
}
