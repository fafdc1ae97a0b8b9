import { goQuote, parseGoBool } from './go-format.ts'
import { cleanPath } from './posix-path.ts'

/** A git source as ADD and build contexts name it (features rows D118, D119). */
export interface GitSource {
  /** What git is given: without fragment and query. */
  readonly remote: string
  readonly ref: string | undefined
  readonly subdir: string | undefined
  /** Commit that the ref must lead to; a prefix will do. */
  readonly checksum: string | undefined
  /** Undefined when the URL does not say. */
  readonly keepGitDir: boolean | undefined
  readonly submodules: boolean | undefined
  readonly mtime: 'checkout' | 'commit' | undefined
  readonly fetchByCommit: boolean
  /** `github.com/x/y` without scheme: a git source as build context, a local path for ADD. */
  readonly looksLocal: boolean
}

/** Why a text that is a git source cannot be used. */
export interface GitUrlFault {
  readonly fault: string
}

const SCP_FORM = /^([a-zA-Z0-9-_]+)@([a-zA-Z0-9-.]+):([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s
const URL_FORM = /^([a-zA-Z0-9]+):\/\/([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s

/** Reads a git URL; undefined when `text` is none. An http(s) URL is one only when its path ends in `.git`. */
export function parseGitUrl(text: string): GitSource | GitUrlFault | undefined {
  if (text.startsWith('./') || text.startsWith('../')) return undefined
  if (text.startsWith('github.com/')) {
    const source = parseUrlForm(`https://${text}`, false)
    if (source === undefined || 'fault' in source) return source
    return { ...source, remote: source.remote.slice('https://'.length), looksLocal: true }
  }
  const scp = SCP_FORM.exec(text)
  if (scp !== null) {
    const [, user = '', host = '', path = '', query = '', fragment = ''] = scp
    return build(`${user}@${host}:${path}`, query, fragment)
  }
  return parseUrlForm(text, true)
}

function parseUrlForm(text: string, needsSuffix: boolean): GitSource | GitUrlFault | undefined {
  const match = URL_FORM.exec(text)
  if (match === null) return undefined
  const [, scheme = '', place = '', query = '', fragment = ''] = match
  const protocol = scheme.toLowerCase()
  if (!['http', 'https', 'ssh', 'git'].includes(protocol)) return undefined
  if (needsSuffix && protocol.startsWith('http') && !place.endsWith('.git')) return undefined
  return build(`${protocol}://${place}`, query, decode(fragment))
}

function build(remote: string, query: string, fragment: string): GitSource | GitUrlFault {
  const colon = fragment.indexOf(':')
  const ref = colon < 0 ? fragment : fragment.slice(0, colon)
  const subdir = colon < 0 ? '' : cleanPath(`/${fragment.slice(colon + 1)}`).slice(1)
  const reader = new QueryReader(ref, subdir)
  const fault = reader.read(query)
  return fault === undefined ? reader.finish(remote) : { fault }
}

class QueryReader {
  #ref: string
  #subdir: string
  #tag = ''
  #branch = ''
  #checksum = ''
  #mtime: 'checkout' | 'commit' | undefined
  readonly #flags = new Map<string, boolean>()

  constructor(ref: string, subdir: string) {
    this.#ref = ref
    this.#subdir = subdir
  }

  /** Takes the query in; the fault when there is one. */
  read(query: string): string | undefined {
    const seen = new Set<string>()
    for (const part of query === '' ? [] : query.split('&')) {
      if (part === '') continue
      const at = part.indexOf('=')
      const key = decode((at < 0 ? part : part.slice(0, at)).replaceAll('+', ' '))
      const value = at < 0 ? '' : decode(part.slice(at + 1).replaceAll('+', ' '))
      if (seen.has(key)) return `query ${goQuote(key)} has multiple values`
      seen.add(key)
      const fault = this.#readPair(key, value)
      if (fault !== undefined) return fault
    }
    return this.#settleRef()
  }

  #readPair(key: string, value: string): string | undefined {
    if (key === 'submodules' || key === 'keep-git-dir' || key === 'fetch-by-commit') {
      const flag = value === '' ? true : parseGoBool(value)
      if (flag === undefined) return `invalid ${key} value: ${goQuote(value)}`
      this.#flags.set(key, flag)
      return undefined
    }
    return value === '' ? `query ${goQuote(key)} has no value` : this.#readText(key, value)
  }

  #readText(key: string, value: string): string | undefined {
    switch (key) {
      case 'ref':
        return this.#setRef(value)
      case 'tag':
        this.#tag = value.startsWith('refs/tags/') ? value : `refs/tags/${value}`
        return undefined
      case 'branch':
        this.#branch = value.startsWith('refs/heads/') ? value : `refs/heads/${value}`
        return undefined
      case 'subdir':
        if (this.#subdir !== '' && this.#subdir !== value) {
          return `subdir conflicts: ${goQuote(this.#subdir)} vs ${goQuote(value)}`
        }
        this.#subdir = value
        return undefined
      case 'checksum':
      case 'commit':
        this.#checksum = value
        return undefined
      case 'mtime':
        if (value !== 'checkout' && value !== 'commit') {
          return `invalid mtime value: ${goQuote(value)} (must be "checkout" or "commit")`
        }
        this.#mtime = value
        return undefined
      default:
        return `unexpected query ${goQuote(key)}`
    }
  }

  #settleRef(): string | undefined {
    if (this.#tag !== '' && this.#branch !== '') return 'branch conflicts with tag'
    const named = this.#tag === '' ? this.#branch : this.#tag
    return named === '' ? undefined : this.#setRef(named)
  }

  #setRef(value: string): string | undefined {
    if (this.#ref !== '' && this.#ref !== value) {
      return `ref conflicts: ${goQuote(this.#ref)} vs ${goQuote(value)}`
    }
    this.#ref = value
    return undefined
  }

  finish(remote: string): GitSource {
    return {
      remote,
      ref: this.#ref === '' ? undefined : this.#ref,
      subdir: this.#subdir === '' ? undefined : this.#subdir,
      checksum: this.#checksum === '' ? undefined : this.#checksum,
      keepGitDir: this.#flags.get('keep-git-dir'),
      submodules: this.#flags.get('submodules'),
      mtime: this.#mtime,
      fetchByCommit: this.#flags.get('fetch-by-commit') ?? false,
      looksLocal: false,
    }
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // A stray `%` stands for itself.
    return text
  }
}
