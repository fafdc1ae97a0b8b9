import { type Digest, parseDigest } from './digest.ts'
import { OciError } from './errors.ts'

/** The registry of names that have no host: Docker Hub. */
export const DEFAULT_REGISTRY = 'docker.io'
const LEGACY_DEFAULT_REGISTRY = 'index.docker.io'
const OFFICIAL_NAMESPACE = 'library'
const DEFAULT_TAG = 'latest'

/** Docker's bound for host and path together (distribution/reference). */
const NAME_LENGTH_MAX = 255
const TAG_LENGTH_MAX = 128

const HOST_LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const HOST = new RegExp(`^(?:${HOST_LABEL}(?:\\.${HOST_LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`)
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/
const IMAGE_ID = /^[a-f0-9]{64}$/

/**
 * The full name of an image. With a digest, the digest decides and the tag is for display only
 * (features rows R1, D140); without one the tag is set.
 */
export interface Reference {
  /**
   * Host and port as written, `docker.io` when none was: what credentials and certificates are
   * looked up by.
   */
  readonly registry: string
  /** Path on the registry, e.g. `library/alpine`. */
  readonly repository: string
  readonly tag: string | undefined
  readonly digest: Digest | undefined
}

/**
 * Reads a reference as Docker does (features rows R1, D55): no host means Docker Hub, one-part
 * names there are in `library/`, no tag and no digest means `latest`. The first part is a host when
 * it holds `.` or `:`, is `localhost`, or has upper case. Throws OciError `bad-reference` that says
 * which part is wrong.
 */
export function parseReference(text: string): Reference {
  if (text === '') throw bad(text, 'it is empty')
  if (text.includes('://')) throw bad(text, 'write the name without http:// or https://')
  if (IMAGE_ID.test(text)) throw bad(text, '64 hexadecimal digits are an image id, not a name')
  const { name, tag, digest } = splitSuffixes(text)
  const { registry, path } = splitRegistry(name)
  checkRegistry(text, registry)
  checkRepository(text, path)
  const isOfficial = registry === DEFAULT_REGISTRY && !path.includes('/')
  const repository = isOfficial ? `${OFFICIAL_NAMESPACE}/${path}` : path
  if (registry.length + 1 + repository.length > NAME_LENGTH_MAX) {
    throw bad(text, `the name is longer than ${NAME_LENGTH_MAX} characters`)
  }
  if (tag !== undefined) checkTag(text, tag)
  return {
    registry,
    repository,
    tag: tag ?? (digest === undefined ? DEFAULT_TAG : undefined),
    digest: digest === undefined ? undefined : readDigest(text, digest),
  }
}

/**
 * `registry/repository[:tag][@digest]`: every part written out; `parseReference` gives the same
 * reference back.
 */
export function formatReference(reference: Reference): string {
  return `${reference.registry}/${reference.repository}${suffixOf(reference)}`
}

/** As Docker shows it: without `docker.io/` and `library/` where they are implied. */
export function familiarReference(reference: Reference): string {
  return `${familiarName(reference)}${suffixOf(reference)}`
}

/**
 * The familiar form without tag and digest, e.g. `alpine`, `grafana/grafana`, `localhost:5000/app`.
 */
export function familiarName(reference: Reference): string {
  if (reference.registry !== DEFAULT_REGISTRY)
    return `${reference.registry}/${reference.repository}`
  const [namespace, name, ...rest] = reference.repository.split('/')
  const isOfficial = namespace === OFFICIAL_NAMESPACE && name !== undefined && rest.length === 0
  return isOfficial ? name : reference.repository
}

/** The same image by digest; the tag stays for display. */
export function withDigest(reference: Reference, digest: Digest): Reference {
  return { ...reference, digest }
}

/** Whether `text` may be a tag (distribution-spec, "Pulling manifests"). */
export function isTag(text: string): boolean {
  return text.length <= TAG_LENGTH_MAX && TAG.test(text)
}

function suffixOf(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`
  return reference.digest === undefined ? tag : `${tag}@${reference.digest}`
}

function splitSuffixes(text: string): {
  name: string
  tag: string | undefined
  digest: string | undefined
} {
  const at = text.indexOf('@')
  const digest = at === -1 ? undefined : text.slice(at + 1)
  const named = at === -1 ? text : text.slice(0, at)
  // A colon before the last slash belongs to the port.
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1)
  if (colon === -1) return { name: named, tag: undefined, digest }
  return { name: named.slice(0, colon), tag: named.slice(colon + 1), digest }
}

function splitRegistry(name: string): { registry: string; path: string } {
  const slash = name.indexOf('/')
  const first = slash === -1 ? '' : name.slice(0, slash)
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase()
  if (!isHost) return { registry: DEFAULT_REGISTRY, path: name }
  const registry = first === LEGACY_DEFAULT_REGISTRY ? DEFAULT_REGISTRY : first
  return { registry, path: name.slice(slash + 1) }
}

function checkRegistry(text: string, registry: string): void {
  if (!HOST.test(registry))
    throw bad(text, `${JSON.stringify(registry)} is not a host name with an optional port`)
  const port = /:([0-9]+)$/.exec(registry)?.[1]
  if (port !== undefined && (Number(port) > 65_535 || Number(port) === 0)) {
    throw bad(text, `port ${port} is not between 1 and 65535`)
  }
}

function checkRepository(text: string, path: string): void {
  if (path === '') throw bad(text, 'the repository name is missing')
  if (path !== path.toLowerCase())
    throw bad(text, `the repository name ${JSON.stringify(path)} must be lower case`)
  for (const component of path.split('/')) {
    if (PATH_COMPONENT.test(component)) continue
    if (component === '')
      throw bad(text, 'the repository name has an empty part (two slashes, or one at the end)')
    throw bad(
      text,
      `${JSON.stringify(component)} is not a repository name: letters a-z and digits, separated by one '.', one or two '_', or '-'`,
    )
  }
}

function checkTag(text: string, tag: string): void {
  if (tag === '') throw bad(text, 'the tag after the colon is missing')
  if (tag.length > TAG_LENGTH_MAX)
    throw bad(text, `the tag is longer than ${TAG_LENGTH_MAX} characters`)
  if (!TAG.test(tag)) {
    throw bad(
      text,
      `${JSON.stringify(tag)} is not a tag: letters, digits, '_', '.' and '-', not starting with '.' or '-'`,
    )
  }
}

function readDigest(text: string, digestText: string): Digest {
  const digest = parseDigest(digestText)
  if (digest !== undefined) return digest
  const isOtherAlgorithm =
    /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-f0-9]+$/.test(digestText) &&
    !digestText.startsWith('sha256:')
  const reason = isOtherAlgorithm
    ? `only sha256 digests are supported, not ${JSON.stringify(digestText.split(':', 1)[0])}`
    : `${JSON.stringify(digestText)} is not a digest: 'sha256:' and 64 lower-case hexadecimal digits`
  throw bad(text, reason)
}

function bad(text: string, reason: string): OciError {
  return new OciError('bad-reference', `invalid reference ${JSON.stringify(text)}: ${reason}`)
}
