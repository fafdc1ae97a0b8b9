import type { IncomingHttpHeaders } from 'node:http'
import { digestOf, OCI_INDEX, parseDigest, parseManifest, serializeIndex } from '../oci/index.ts'
import type { Need } from './fake-auth.ts'
import type { FakeRepository } from './fake-store.ts'
import type { FakeUpload, FakeUploads } from './fake-uploads.ts'

export interface FakeAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export interface FakeQuestion {
  readonly method: string
  readonly url: URL
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** False: the connection is about to break; an upload keeps what arrived. */
  readonly isWhole: boolean
}

export interface FakeApiOptions {
  readonly repositories: ReadonlyMap<string, FakeRepository>
  readonly uploads: FakeUploads
  repository(name: string): FakeRepository
  readonly locationOrigin: string
  readonly pageSizeMax: number
  /** Whether it knows of subjects; registries that do not are to be helped by their clients. */
  readonly hasReferrers: boolean
}

const ROUTE = /^\/v2\/(.+?)\/(manifests|blobs\/uploads|blobs|tags|referrers)\/(.*)$/
const NOTHING = new Uint8Array()

/** The distribution specification's API over repositories in memory. */
export class FakeApi {
  readonly #options: FakeApiOptions

  constructor(options: FakeApiOptions) {
    this.#options = options
  }

  /** The right that a request needs; undefined for the base. */
  needOf(method: string, path: string): Need | undefined {
    const repository = ROUTE.exec(path)?.[1]
    if (repository === undefined) return undefined
    if (method === 'DELETE') return { repository, action: 'delete' }
    return { repository, action: method === 'GET' || method === 'HEAD' ? 'pull' : 'push' }
  }

  answer(question: FakeQuestion): FakeAnswer {
    if (question.url.pathname === '/v2/')
      return reply(200, { 'docker-distribution-api-version': 'registry/2.0' }, '{}')
    const [, name = '', kind = '', rest = ''] = ROUTE.exec(question.url.pathname) ?? []
    switch (kind) {
      case 'manifests':
        return this.#manifests(question, name, rest)
      case 'blobs':
        return this.#blobs(question, name, rest)
      case 'blobs/uploads':
        return rest === '' ? this.#begin(question, name) : this.#upload(question, name, rest)
      case 'tags':
        return this.#tags(question, name)
      case 'referrers':
        return this.#referrers(question, name, rest)
      default:
        return failure(404, 'NOT_FOUND', 'no such page')
    }
  }

  #manifests(question: FakeQuestion, name: string, tagOrDigest: string): FakeAnswer {
    const { method } = question
    if (method === 'PUT') return this.#putManifest(question, name, tagOrDigest)
    const repository = this.#options.repositories.get(name)
    const found = repository?.find(tagOrDigest)
    if (repository === undefined || found === undefined)
      return failure(404, 'MANIFEST_UNKNOWN', 'manifest unknown')
    if (method === 'DELETE') {
      if (!repository.tags.delete(tagOrDigest)) repository.manifests.delete(found.digest)
      return reply(202, {})
    }
    return reply(
      200,
      { 'content-type': found.mediaType, 'docker-content-digest': found.digest },
      found.bytes,
    )
  }

  #putManifest({ headers, body }: FakeQuestion, name: string, tagOrDigest: string): FakeAnswer {
    const mediaType = headers['content-type'] ?? ''
    const missing = this.#missingParts(name, body, mediaType)
    if (missing !== undefined)
      return failure(400, 'MANIFEST_BLOB_UNKNOWN', `${missing} is not there`)
    const isTag = parseDigest(tagOrDigest) === undefined
    const { digest } = this.#options
      .repository(name)
      .addManifest({ mediaType, bytes: body }, isTag ? tagOrDigest : undefined)
    if (!isTag && digest !== tagOrDigest)
      return failure(400, 'DIGEST_INVALID', 'the digest is another')
    return reply(201, {
      location: `/v2/${name}/manifests/${digest}`,
      'docker-content-digest': digest,
      ...(this.#options.hasReferrers ? { 'oci-subject': 'known' } : {}),
    })
  }

  /** As real registries do: a manifest is taken when all it names is there. */
  #missingParts(name: string, body: Buffer, mediaType: string): string | undefined {
    const repository = this.#options.repository(name)
    const parsed = parseManifest(body, mediaType)
    if (parsed.kind === 'index') {
      return parsed.index.manifests.find(({ digest }) => !repository.manifests.has(digest))?.digest
    }
    const { config, layers } = parsed.manifest
    return [config, ...layers].find(({ digest }) => !repository.blobs.has(digest))?.digest
  }

  #blobs(question: FakeQuestion, name: string, digestText: string): FakeAnswer {
    const digest = parseDigest(digestText)
    const repository = this.#options.repositories.get(name)
    const bytes = digest && repository?.blobs.get(digest)
    if (digest === undefined || bytes === undefined)
      return failure(404, 'BLOB_UNKNOWN', 'blob unknown')
    if (question.method === 'DELETE') {
      repository?.blobs.delete(digest)
      return reply(202, {})
    }
    const headers = { 'content-type': 'application/octet-stream', 'docker-content-digest': digest }
    const start = Number(/^bytes=(\d+)-$/.exec(question.headers.range ?? '')?.[1] ?? Number.NaN)
    if (Number.isNaN(start)) return reply(200, headers, bytes)
    if (start >= bytes.byteLength) return failure(416, 'RANGE_INVALID', 'beyond the end')
    const range = `bytes ${start}-${bytes.byteLength - 1}/${bytes.byteLength}`
    return reply(206, { ...headers, 'content-range': range }, bytes.subarray(start))
  }

  #begin(question: FakeQuestion, name: string): FakeAnswer {
    const { searchParams } = question.url
    const mount = parseDigest(searchParams.get('mount') ?? '')
    const bytes =
      mount && this.#options.repositories.get(searchParams.get('from') ?? '')?.blobs.get(mount)
    if (mount !== undefined && bytes !== undefined) {
      this.#options.repository(name).blobs.set(mount, bytes)
      return reply(201, { location: `/v2/${name}/blobs/${mount}`, 'docker-content-digest': mount })
    }
    return this.#progress(202, this.#options.uploads.begin(name))
  }

  #upload(question: FakeQuestion, name: string, id: string): FakeAnswer {
    const { method, headers, body, url } = question
    const upload = this.#options.uploads.find(id)
    if (upload === undefined) return failure(404, 'BLOB_UPLOAD_UNKNOWN', 'upload unknown')
    if (method === 'GET') return this.#progress(204, upload)
    if (method === 'DELETE') {
      this.#options.uploads.end(id)
      return reply(204, {})
    }
    const start = /^(\d+)-\d+$/.exec(headers['content-range'] ?? '')?.[1]
    if (start !== undefined && Number(start) !== upload.bytes.byteLength)
      return this.#progress(416, upload)
    upload.bytes = Buffer.concat([upload.bytes, body])
    if (method === 'PATCH' || !question.isWhole) return this.#progress(202, upload)
    const digest = digestOf(upload.bytes)
    if (digest !== url.searchParams.get('digest'))
      return failure(400, 'DIGEST_INVALID', 'the digest is another')
    this.#options.uploads.end(id)
    this.#options.repository(name).blobs.set(digest, upload.bytes)
    return reply(201, { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest })
  }

  #progress(status: number, upload: FakeUpload): FakeAnswer {
    const path = `/v2/${upload.repository}/blobs/uploads/${upload.id}?_state=a%20b%2Bc%3D`
    const range = `0-${Math.max(0, upload.bytes.byteLength - 1)}`
    return reply(status, {
      location: `${this.#options.locationOrigin}${path}`,
      range,
      'docker-upload-uuid': upload.id,
    })
  }

  /** One on each page, to be gone through. */
  #referrers(question: FakeQuestion, name: string, subject: string): FakeAnswer {
    if (!this.#options.hasReferrers) return failure(404, 'NOT_FOUND', 'no such page')
    const manifests = [...(this.#options.repositories.get(name)?.manifests ?? [])].flatMap(
      ([digest, { bytes, mediaType }]) => {
        const parsed = parseManifest(bytes, mediaType)
        const part = parsed.kind === 'index' ? parsed.index : parsed.manifest
        if (part.subject?.digest !== subject) return []
        const type = part.artifactType === undefined ? {} : { artifactType: part.artifactType }
        return [{ mediaType, digest, sizeBytes: bytes.byteLength, ...type }]
      },
    )
    const at = Number(question.url.searchParams.get('at') ?? 0)
    const page = serializeIndex({ mediaType: OCI_INDEX, manifests: manifests.slice(at, at + 1) })
    const next =
      at + 1 < manifests.length
        ? { link: `</v2/${name}/referrers/${subject}?at=${at + 1}>; rel="next"` }
        : {}
    return reply(200, { 'content-type': OCI_INDEX, ...next }, page.bytes)
  }

  #tags(question: FakeQuestion, name: string): FakeAnswer {
    const repository = this.#options.repositories.get(name)
    if (repository === undefined)
      return failure(404, 'NAME_UNKNOWN', 'repository name not known to registry')
    const { searchParams } = question.url
    const all = [...repository.tags.keys()]
      .sort()
      .filter((tag) => tag > (searchParams.get('last') ?? ''))
    const size = Math.min(
      Number(searchParams.get('n') ?? this.#options.pageSizeMax),
      this.#options.pageSizeMax,
    )
    const tags = all.slice(0, size)
    const last = tags.at(-1)
    const next =
      last !== undefined && all.length > size
        ? { link: `</v2/${name}/tags/list?n=${size}&last=${last}>; rel="next"` }
        : {}
    return reply(
      200,
      { 'content-type': 'application/json', ...next },
      JSON.stringify({ name, tags }),
    )
  }
}

function reply(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array | string = NOTHING,
): FakeAnswer {
  return { status, headers, body: typeof body === 'string' ? Buffer.from(body) : body }
}

function failure(status: number, code: string, message: string): FakeAnswer {
  const body = JSON.stringify({ errors: [{ code, message }] })
  return reply(status, { 'content-type': 'application/json' }, body)
}
