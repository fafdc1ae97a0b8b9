import type { Readable } from 'node:stream'

export type HttpMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** A body that can be sent again: after a 401, a redirect or a cut. */
export type RequestBody =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'stream'
      /** Undefined while nobody knows: it is sent in pieces (RFC 9112, 7.1), and may pause for any time. */
      readonly sizeBytes: number | undefined
      open(): AsyncIterable<Uint8Array>
    }

export interface HttpRequest {
  readonly method: HttpMethod
  readonly url: URL
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body?: RequestBody | undefined
}

export interface HttpResponse {
  readonly status: number
  /** The URL that answered: another than was asked when a redirect was followed. */
  readonly url: URL
  /** Must be read to its end or given to `discard`, or the connection stays taken. */
  readonly body: Readable
  /** By lower-case name; a header that came several times is joined with commas. */
  header(name: string): string | undefined
}

/**
 * Ends a response whose body nobody wants. A short rest is read so that the connection can serve
 * again.
 */
export async function discard(response: HttpResponse): Promise<void> {
  const restMax = 64 * 1024
  let rest = 0
  try {
    for await (const chunk of response.body) {
      rest += chunk instanceof Uint8Array ? chunk.byteLength : 0
      if (rest > restMax) break
    }
  } catch {
    // The body broke while being thrown away: there is nothing left to lose, the connection is
    // closed.
  }
  response.body.destroy()
}
