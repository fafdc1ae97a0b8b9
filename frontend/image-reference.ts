/** An image name taken apart and completed (`alpine` is `docker.io/library/alpine`; features row D55). */
export interface ImageReference {
  readonly domain: string
  readonly path: string
  readonly tag: string | undefined
  readonly digest: string | undefined
}

const DEFAULT_DOMAIN = 'docker.io'
const PORT = '(?::[0-9]+)?'
const LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const DOMAIN = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])${PORT}$`)
const PATH_PART = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/
const TAG = /^\w[\w.-]{0,127}$/
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/
const DIGEST_LENGTHS: ReadonlyMap<string, number> = new Map([
  ['sha256', 64],
  ['sha384', 96],
  ['sha512', 128],
])
const NAME_LENGTH_MAX = 255

/** Why a text is no image name. */
export interface ReferenceFault {
  readonly fault: string
}

/** Reads an image name by the rules of distribution's reference grammar. */
export function parseImageReference(text: string): ImageReference | ReferenceFault {
  if (/^[a-f0-9]{64}$/.test(text)) {
    return {
      fault: `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`,
    }
  }
  const { domain, rest } = splitDomain(text)
  const at = rest.indexOf('@')
  const digest = at < 0 ? undefined : rest.slice(at + 1)
  const named = at < 0 ? rest : rest.slice(0, at)
  const colon = named.indexOf(':')
  const path = colon < 0 ? named : named.slice(0, colon)
  const tag = colon < 0 ? undefined : named.slice(colon + 1)
  if (path !== path.toLowerCase()) {
    return { fault: `invalid reference format: repository name (${path}) must be lowercase` }
  }
  const isValid =
    DOMAIN.test(domain) &&
    path.split('/').every((part) => PATH_PART.test(part)) &&
    (tag === undefined || TAG.test(tag)) &&
    (digest === undefined || DIGEST.test(digest))
  if (!isValid) return { fault: 'invalid reference format' }
  const digestFault = digest === undefined ? undefined : checkDigest(digest)
  if (digestFault !== undefined) return { fault: digestFault }
  if (path.length > NAME_LENGTH_MAX) {
    return { fault: `repository name must not be more than ${NAME_LENGTH_MAX} characters` }
  }
  return { domain, path, tag, digest }
}

/** What the grammar leaves open: the algorithm is a known one, with its number of digits in lower case. */
function checkDigest(digest: string): string | undefined {
  const colon = digest.indexOf(':')
  const length = DIGEST_LENGTHS.get(digest.slice(0, colon))
  const digits = digest.slice(colon + 1)
  if (length === undefined) return 'unsupported digest algorithm'
  if (digits.length !== length) return 'invalid checksum digest length'
  return digits === digits.toLowerCase() ? undefined : 'invalid checksum digest format'
}

/** A first part is a host when it looks like one: a dot, a port, `localhost`, or an upper-case letter. */
function splitDomain(text: string): { readonly domain: string; readonly rest: string } {
  const slash = text.indexOf('/')
  if (slash < 0) return { domain: DEFAULT_DOMAIN, rest: `library/${text}` }
  const first = text.slice(0, slash)
  const rest = text.slice(slash + 1)
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase()
  if (!isHost) return { domain: DEFAULT_DOMAIN, rest: text }
  const domain = first === 'index.docker.io' ? DEFAULT_DOMAIN : first
  const isShort = domain === DEFAULT_DOMAIN && !rest.includes('/')
  return { domain, rest: isShort ? `library/${rest}` : rest }
}

/** The whole name, with `latest` when it has neither tag nor digest. */
export function formatImageReference(reference: ImageReference): string {
  const { domain, path, tag, digest } = reference
  const shownTag = tag ?? (digest === undefined ? 'latest' : undefined)
  return `${domain}/${path}${shownTag === undefined ? '' : `:${shownTag}`}${
    digest === undefined ? '' : `@${digest}`
  }`
}

/** The name under which a named context is looked up: without `docker.io/library/` and `:latest` (features row D61). */
export function contextName(reference: ImageReference): string {
  const { domain, path, tag, digest } = reference
  const short = path.startsWith('library/') ? path.slice('library/'.length) : path
  const name =
    domain === DEFAULT_DOMAIN ? (short.includes('/') ? path : short) : `${domain}/${path}`
  const shownTag = tag === undefined || (tag === 'latest' && digest === undefined) ? '' : `:${tag}`
  return `${name}${shownTag}${digest === undefined ? '' : `@${digest}`}`
}
