import { RegistryError } from './errors.ts'
import type { HttpResponse } from './transport/http-message.ts'

/** A registry with more pages than this is lying or of no use as a list. */
const PAGES_MAX = 1000
const BYTES_MAX = 64 * 1024 * 1024

/** Makes sure that a list of pages ends. */
export class PagesSeen {
  readonly #registry: string
  readonly #what: string
  readonly #seen = new Set<string>()
  #bytes = 0

  constructor(registry: string, what: string) {
    this.#registry = registry
    this.#what = what
  }

  /** Throws RegistryError `bad-response` when the pages go round in a circle, or are too many. */
  add(target: string | URL): void {
    const key = String(target)
    if (this.#seen.has(key) || this.#seen.size === PAGES_MAX) {
      const reason = `${this.#registry} lists ${this.#what} without end`
      throw new RegistryError('bad-response', reason, { host: this.#registry })
    }
    this.#seen.add(key)
  }

  /** Called with the size of each page; throws RegistryError `too-large`. */
  count(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes <= BYTES_MAX) return
    const reason = `${this.#registry} sent more than ${BYTES_MAX} bytes of ${this.#what}`
    throw new RegistryError('too-large', reason, { host: this.#registry })
  }
}

/** `Link: </v2/…>; rel="next"`; on the registry itself, wherever it points. */
export function nextPage(response: HttpResponse): URL | undefined {
  const text = /<([^>]*)>\s*;\s*rel="?next"?/i.exec(response.header('link') ?? '')?.[1]
  if (text === undefined || !URL.canParse(text, response.url.href)) return undefined
  const next = new URL(text, response.url.href)
  return new URL(`${response.url.origin}${next.pathname}${next.search}`)
}
