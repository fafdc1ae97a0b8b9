import { repositoryScope } from './auth/scope.ts'
import { RegistryError } from './errors.ts'
import type { HostClient, HostRequest } from './host-client.ts'
import {
  type Descriptor,
  type Digest,
  digestHex,
  isIndexType,
  isManifestType,
  type ManifestBytes,
  OCI_INDEX,
  type ParsedManifest,
  parseManifest,
  serializeIndex,
} from './oci/index.ts'
import { nextPage, PagesSeen } from './pages.ts'
import { getManifest, type ManifestTarget } from './pull/manifest.ts'
import { putManifest } from './push/put-manifest.ts'
import { JSON_BODY_BYTES_MAX, readBounded } from './transport/limits.ts'

/** Writers that change the same list at the same time: after this many lost races it is an error. */
const UPDATES_MAX = 5

export interface ReferrersQuery {
  readonly repository: string
  /** The manifest that the referrers are about. */
  readonly subject: Digest
  /** Only referrers of this type, e.g. of signatures. */
  readonly artifactType?: string | undefined
}

/**
 * What refers to a manifest: signatures, attestations, bills of material (distribution-spec,
 * "Listing Referrers"; features row R53). Registries without the API keep the list under the tag
 * `sha256-<hex>`. Throws RegistryError.
 */
export async function listReferrers(
  host: HostClient,
  query: ReferrersQuery,
  signal: AbortSignal,
): Promise<Descriptor[]> {
  const found = (await askApi(host, query, signal)) ?? (await readFallback(host, query, signal))
  const { artifactType } = query
  return found.filter((entry) => artifactType === undefined || entry.artifactType === artifactType)
}

/** Undefined where there is no such API. */
async function askApi(
  host: HostClient,
  { repository, subject, artifactType }: ReferrersQuery,
  signal: AbortSignal,
): Promise<Descriptor[] | undefined> {
  const referrers: Descriptor[] = []
  const seen = new PagesSeen(host.registry, 'referrers')
  const filter =
    artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`
  let target: string | URL | undefined = `${repository}/referrers/${subject}${filter}`
  while (target !== undefined) {
    seen.add(target)
    const request: HostRequest = {
      method: 'GET',
      target,
      headers: { accept: OCI_INDEX },
      access: { repository, scopes: [repositoryScope(repository, 'pull')] },
      expect: [200, 400, 404, 405],
      lane: 'call',
    }
    const page: { entries: readonly Descriptor[]; next: URL | undefined } | undefined =
      await host.call(request, signal, async (response) => {
        if (response.status !== 200) return undefined
        const bytes = await readBounded(response, 'list of referrers', JSON_BODY_BYTES_MAX)
        seen.count(bytes.byteLength)
        const parsed = parseManifest(bytes, response.header('content-type'))
        if (parsed.kind !== 'index') throw noList(response.url.host)
        return { entries: parsed.index.manifests, next: nextPage(response) }
      })
    if (page === undefined) return undefined
    referrers.push(...page.entries)
    target = page.next
  }
  return referrers
}

async function readFallback(
  host: HostClient,
  { repository, subject }: Pick<ReferrersQuery, 'repository' | 'subject'>,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const target = { repository, tagOrDigest: fallbackTag(subject) }
  try {
    const { parsed } = await getManifest(host, target, { signal })
    if (parsed.kind === 'index') return parsed.index.manifests
    throw noList(host.registry)
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'not-found') return []
    throw error
  }
}

/** By host: changes of lists wait for each other, or one would undo the other. */
const updates = new WeakMap<HostClient, Promise<void>>()

/**
 * Puts a manifest and, when it has a `subject` that the registry did not acknowledge, into the list
 * of that subject's referrers (distribution-spec, "Pushing Manifests with Subject").
 */
export async function putWithSubject(
  host: HostClient,
  target: ManifestTarget,
  manifest: ManifestBytes,
  signal: AbortSignal,
): Promise<void> {
  const parsed = isReadable(manifest)
    ? parseManifest(manifest.bytes, manifest.mediaType)
    : undefined
  const subject = parsed?.kind === 'index' ? parsed.index.subject : parsed?.manifest.subject
  const { hasSubject } = await putManifest(host, target, manifest, signal)
  if (parsed === undefined || subject === undefined || hasSubject) return
  const query = { repository: target.repository, subject: subject.digest }
  const entry = referrerEntry(manifest, parsed)
  const before = updates.get(host) ?? Promise.resolve()
  const update = before.then(() => addToFallback(host, query, entry, signal))
  updates.set(
    host,
    update.catch(() => undefined),
  )
  await update
}

/**
 * Read, add, write, and look whether it is still there: another writer may have come between, as
 * registries offer nothing to prevent it.
 */
async function addToFallback(
  host: HostClient,
  query: Pick<ReferrersQuery, 'repository' | 'subject'>,
  entry: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  const target = { repository: query.repository, tagOrDigest: fallbackTag(query.subject) }
  for (let tries = 0; tries < UPDATES_MAX; tries += 1) {
    const entries = await readFallback(host, query, signal)
    if (entries.some(({ digest }) => digest === entry.digest)) return
    const index = serializeIndex({ mediaType: OCI_INDEX, manifests: [...entries, entry] })
    await putManifest(host, target, index, signal)
  }
  const entries = await readFallback(host, query, signal)
  if (entries.some(({ digest }) => digest === entry.digest)) return
  const reason = `${host.registry}: others keep overwriting the list of referrers ${target.tagOrDigest}`
  throw new RegistryError('server-failed', reason, { host: host.registry })
}

function referrerEntry(manifest: ManifestBytes, parsed: ParsedManifest): Descriptor {
  const { annotations, artifactType } = parsed.kind === 'index' ? parsed.index : parsed.manifest
  const type =
    artifactType ?? (parsed.kind === 'manifest' ? parsed.manifest.config.mediaType : undefined)
  return {
    mediaType: manifest.mediaType,
    digest: manifest.digest,
    sizeBytes: manifest.bytes.byteLength,
    ...(annotations === undefined ? {} : { annotations }),
    ...(type === undefined ? {} : { artifactType: type }),
  }
}

/** Registries hold manifests of types that we do not know; these have no subject for us. */
function isReadable({ mediaType }: ManifestBytes): boolean {
  return isIndexType(mediaType) || isManifestType(mediaType)
}

function fallbackTag(subject: Digest): string {
  return `sha256-${digestHex(subject)}`
}

function noList(host: string): RegistryError {
  return new RegistryError('bad-response', `${host} sent no list of referrers`, { host })
}
