import { repositoryScope } from './auth/scope.ts'
import { RegistryError } from './errors.ts'
import type { HostClient } from './host-client.ts'
import { isTag, parseDigest } from './oci/index.ts'
import { nextPage, PagesSeen } from './pages.ts'
import type { ManifestTarget } from './pull/manifest.ts'
import { JSON_BODY_BYTES_MAX, readBounded } from './transport/limits.ts'
import { refuseWebPage } from './transport/response-error.ts'

/**
 * All tags of a repository, page by page as the registry gives them (features row R54). Throws
 * RegistryError, `bad-response` when the pages go round in a circle.
 */
export async function listTags(
  host: HostClient,
  repository: string,
  signal: AbortSignal,
): Promise<string[]> {
  const tags: string[] = []
  const seen = new PagesSeen(host.registry, 'tags')
  let target: string | URL | undefined = `${repository}/tags/list`
  while (target !== undefined) {
    seen.add(target)
    const page: TagPage = await readPage(host, { repository, target, seen }, signal)
    tags.push(...page.tags)
    target = page.next
  }
  return tags
}

/** Removes a tag or, by digest, a manifest with all its tags (features row R55); `unsupported` where that is turned off. */
export async function deleteManifest(
  host: HostClient,
  target: ManifestTarget,
  signal: AbortSignal,
): Promise<void> {
  const { repository, tagOrDigest } = target
  const request = {
    method: 'DELETE',
    target: `${repository}/manifests/${tagOrDigest}`,
    access: { repository, scopes: [repositoryScope(repository, 'pull', 'push', 'delete')] },
    expect: [202, 200, 204],
    lane: 'call',
  } as const
  try {
    await host.call(request, signal, refuseWebPage)
  } catch (error) {
    // distribution before version 3 takes every name here for a digest.
    const isDigest = parseDigest(tagOrDigest) !== undefined
    if (!(error instanceof RegistryError) || isDigest || error.registryCode !== 'DIGEST_INVALID')
      throw error
    const { host: name, reason: said, status, registryCode } = error
    const reason = `${name} removes no single tags: ${said}`
    throw new RegistryError('unsupported', reason, {
      host: name,
      status,
      registryCode,
      cause: error,
    })
  }
}

interface TagPage {
  readonly tags: readonly string[]
  readonly next: URL | undefined
}

function readPage(
  host: HostClient,
  page: {
    readonly repository: string
    readonly target: string | URL
    readonly seen: PagesSeen
  },
  signal: AbortSignal,
): Promise<TagPage> {
  const { repository, target, seen } = page
  const request = {
    method: 'GET',
    target,
    access: { repository, scopes: [repositoryScope(repository, 'pull')] },
    expect: [200],
    lane: 'call',
  } as const
  return host.call(request, signal, async (response) => {
    const bytes = await readBounded(response, 'tag list', JSON_BODY_BYTES_MAX)
    seen.count(bytes.byteLength)
    const tags = tagsIn(bytes)
    if (tags !== undefined) return { tags, next: nextPage(response) }
    const { host: name } = response.url
    throw new RegistryError('bad-response', `${name} sent no list of tags`, { host: name })
  })
}

/** `null` is how Go writes the list of a repository whose tags were all deleted. */
function tagsIn(bytes: Buffer): string[] | undefined {
  let json: unknown
  try {
    json = JSON.parse(bytes.toString('utf8'))
  } catch {
    // Not JSON: no list, which is what the caller reports.
    return undefined
  }
  if (typeof json !== 'object' || json === null || !('tags' in json)) return undefined
  if (json.tags === null) return []
  if (!Array.isArray(json.tags)) return undefined
  // What else a server sends is no tag, and may be a terminal's escape sequence.
  return json.tags.filter((tag): tag is string => typeof tag === 'string' && isTag(tag))
}
