/** Reads a secret of the build; undefined when there is none of that id. */
export type SecretReader = (id: string) => Promise<Uint8Array | undefined>

/**
 * The Authorization header for a git remote out of the build's secrets (features row D121): for this host before the
 * general ones, a complete header before a token. Undefined for remotes that are not http.
 */
export async function gitAuthorization(
  url: string,
  readSecret: SecretReader,
): Promise<string | undefined> {
  const host = parseHttpUrl(url)?.host
  for (const suffix of host === undefined ? [] : [`.${host}`, '']) {
    const header = await readText(`GIT_AUTH_HEADER${suffix}`, readSecret)
    if (header !== undefined) {
      return header
    }
    const token = await readText(`GIT_AUTH_TOKEN${suffix}`, readSecret)
    if (token !== undefined) {
      return `basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`
    }
  }
  return undefined
}

/** The Authorization header for a download out of the build's secrets (features row D114). */
export async function httpAuthorization(
  url: string,
  readSecret: SecretReader,
): Promise<string | undefined> {
  const host = parseHttpUrl(url)?.hostname
  if (host === undefined) {
    return undefined
  }
  const header = await readText(`HTTP_AUTH_HEADER_${host}`, readSecret)
  if (header !== undefined) {
    return header
  }
  const token = await readText(`HTTP_AUTH_TOKEN_${host}`, readSecret)
  return token === undefined ? undefined : `Bearer ${token}`
}

function parseHttpUrl(text: string): URL | undefined {
  const url = URL.parse(text)
  return url?.protocol === 'https:' || url?.protocol === 'http:' ? url : undefined
}

/** A header is one line: the line feed at the end of a secret's file is not part of it. */
async function readText(id: string, readSecret: SecretReader): Promise<string | undefined> {
  const bytes = await readSecret(id)
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes).trim()
}
