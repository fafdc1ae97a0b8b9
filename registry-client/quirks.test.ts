import assert from 'node:assert/strict'
import { type AddressInfo, createServer } from 'node:net'
import { credentialsFor } from './auth/credentials.ts'
import type { RegistryClient } from './client.ts'
import { localPlatform } from './oci/index.ts'
import { type FakeAuth, FakeRegistry, type FakeRegistryOptions } from './testing/fake-registry.ts'
import { pushTestImage } from './testing/push-test-image.ts'
import {
  MemorySource,
  noise,
  RecordingSink,
  referenceTo,
  rejectsWith,
  testClient,
} from './testing/test-client.ts'

const signal = new AbortController().signal
const platform = localPlatform()
const FOREVER = Number.POSITIVE_INFINITY

function errorBody(code: string, message: string): string {
  return JSON.stringify({ errors: [{ code, message }] })
}

/** What a registry with tokens says to one that it does not take any more. */
function expired({ host }: FakeRegistry): string {
  return `Bearer realm="http://${host}/token",service="fake",error="invalid_token"`
}

describe('the ways of', () => {
  let registry: FakeRegistry
  let client: RegistryClient

  async function start(
    options: FakeRegistryOptions = {},
    account?: { readonly username: string; readonly password: string },
  ): Promise<void> {
    registry = await FakeRegistry.start(options)
    const { host } = registry
    client =
      account === undefined
        ? testClient()
        : testClient({ credentials: credentialsFor(host, { kind: 'password', ...account }) })
  }

  afterEach(async () => {
    await client[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })

  async function roundTrip(): Promise<void> {
    const reference = referenceTo(registry, 'team/app:v1')
    const layer = noise(300_000)
    const { manifest } = await pushTestImage(client, reference, [layer])
    const found = await client.resolve(reference, { platform, signal })
    assert.equal(found.manifest.digest, manifest.digest)
    const sink = new RecordingSink()
    const [descriptor = assert.fail()] = found.image.layers
    await client.fetchBlob(reference, descriptor, sink, { signal })
    assert.ok(sink.bytes.equals(layer))
  }

  /** The chunks that were sent, by their answers. */
  function chunks(): [range: unknown, status: number | undefined][] {
    return registry.requests
      .filter(({ method }) => method === 'PATCH')
      .map(({ headers, status }) => [headers['content-range'], status()])
  }

  function pushBlob(sizeBytes = 300_000): ReturnType<RegistryClient['pushBlob']> {
    const source = new MemorySource(noise(sizeBytes, 3), 256 * 1024)
    return client.pushBlob(referenceTo(registry, 'team/app'), source, { signal })
  }

  async function pushTag(): Promise<void> {
    await pushTestImage(client, referenceTo(registry, 'team/app:v1'), [noise(10, 2)])
  }

  describe('Harbor', () => {
    const robot = { username: 'robot$team+ci', password: 'x:y$Z"%' }

    it('take a robot, with one token to push and one to pull', async () => {
      await start({ auth: { kind: 'bearer', ...robot } }, robot)
      await roundTrip()
      const tokens = registry.requestLines.filter((line) => line.startsWith('GET /token'))
      assert.equal(tokens.length, 2)
      assert.match(tokens[0] ?? '', /account=robot%24team%2Bci/)
    })

    it('tell of quotas and policies in words that reach the user', async () => {
      await start()
      const message =
        'adding 1.0 GiB of storage resource, which when updated to current usage of 9.5 GiB will exceed the configured upper limit of 10.0 GiB.'
      const body = errorBody('DENIED', message)
      registry.script({ method: 'PUT', path: /uploads/, act: { kind: 'reply', status: 403, body } })
      const error = await rejectsWith(pushBlob(), 'denied', /DENIED: adding 1\.0 GiB of storage/)
      assert.ok(error.message.includes(message))
    })

    it('do not let immutable tags change', async () => {
      await start()
      const message = 'Failed to process request due to "app:v1" configured as immutable.'
      const body = errorBody('PRECONDITION', message)
      registry.script({ method: 'PUT', path: /v1$/, act: { kind: 'reply', status: 412, body } })
      await rejectsWith(pushTag(), 'tag-immutable', /configured as immutable/)
    })

    it('have no project that nobody made', async () => {
      await start()
      const body = errorBody('NOT_FOUND', 'project team not found')
      registry.script({ method: 'POST', act: { kind: 'reply', status: 404, body } })
      await rejectsWith(pushBlob(), 'not-found', /NOT_FOUND: project team not found/)
    })

    it('serve an index whose images the cache project does not have yet', async () => {
      await start()
      const repository = registry.repository('hub/app')
      const image = repository.addImage({ layers: [], platform })
      repository.addIndex([image.descriptor], 'v1')
      const body = errorBody('NOT_FOUND', `artifact hub/app@${image.manifest.digest} not found`)
      const path = /manifests\/sha256/
      registry.script({ method: 'GET', path, act: { kind: 'reply', status: 404, body } })
      const reference = referenceTo(registry, 'hub/app:v1')
      const work = client.resolve(reference, { platform, signal })
      await rejectsWith(work, 'not-found', /artifact hub\/app@sha256:\w+ not found/)
    })
  })

  describe('GitHub', () => {
    it('refuse in the token server what the account may not do', async () => {
      await start({ auth: { kind: 'bearer' } }, { username: 'me', password: 'ghp_x' })
      const body = errorBody('DENIED', 'requested access to the resource is denied')
      registry.script({ path: /^\/token/, act: { kind: 'reply', status: 403, body } })
      await rejectsWith(pushBlob(), 'denied', /403.*DENIED: requested access to the resource/)
    })

    it('answer an upload with 416 for a chunk, and take it whole', async () => {
      await start()
      registry.script({ method: 'PUT', act: { kind: 'cut-request', afterBytes: 100_000 } })
      registry.script({ method: 'PATCH', act: { kind: 'reply', status: 416 } })
      registry.script({
        method: 'GET',
        path: /uploads/,
        times: 9,
        act: { kind: 'reply', status: 404 },
      })
      assert.deepEqual(await pushBlob(), { kind: 'uploaded' })
    })
  })

  describe('GitHub, to large parts,', () => {
    it('say 416 when they mean that a part is too large', async () => {
      await start()
      const message = 'the request body is too large and exceeds the maximum permissible limit'
      const body = errorBody('UNKNOWN', message)
      registry.script({ method: 'PUT', act: { kind: 'reply', status: 405 } })
      registry.script({ method: 'PATCH', act: { kind: 'reply', status: 416, body } })
      assert.deepEqual(await pushBlob(20_000_000), { kind: 'uploaded' })
      assert.deepEqual(chunks().slice(0, 3), [
        ['0-16777215', 416],
        ['0-4194303', 202],
        ['4194304-8388607', 202],
      ])
    })
  })

  describe('Amazon', () => {
    const aws = { username: 'AWS', password: 'e'.repeat(2700) }

    it('want Basic, and send downloads to storage that takes no second login', async () => {
      await using storage = await FakeRegistry.start()
      await start({ auth: { kind: 'basic', ...aws } }, aws)
      const layer = registry.repository('team/app').addBlob(noise(5000))
      storage.repository('s3').addBlob(noise(5000))
      const location = `http://localhost:${storage.port}/v2/s3/blobs/${layer.digest}?X-Amz-Signature=s%2Fx`
      const path = /blobs/
      // The first request is refused, the second sent away.
      registry.script({ path, act: { kind: 'headers', headers: {} } })
      registry.script({ path, act: { kind: 'reply', status: 307, headers: { location } } })
      const sink = new RecordingSink()
      await client.fetchBlob(referenceTo(registry, 'team/app'), layer, sink, { signal })
      assert.equal(storage.requests[0]?.headers['authorization'], undefined)
      assert.match(storage.requests[0]?.path ?? '', /X-Amz-Signature=s%2Fx$/)
    })

    it('answer every part with the end of the first one', async () => {
      await start()
      registry.script({ method: 'PUT', act: { kind: 'reply', status: 405 } })
      const headers = { range: '0-16777215' }
      registry.script({ method: 'PATCH', times: 3, act: { kind: 'headers', headers } })
      assert.deepEqual(await pushBlob(40_000_000), { kind: 'uploaded' })
      assert.deepEqual(chunks(), [
        ['0-16777215', 202],
        ['16777216-33554431', 202],
        ['33554432-39999999', 202],
      ])
    })

    it('do not know after a cut how much they have, so it begins anew', async () => {
      await start()
      registry.script({ method: 'PUT', act: { kind: 'cut-request', afterBytes: 200_000 } })
      const headers = { range: '0-99999' }
      const path = /uploads/
      registry.script({ method: 'GET', path, times: FOREVER, act: { kind: 'headers', headers } })
      assert.deepEqual(await pushBlob(), { kind: 'uploaded' })
      assert.deepEqual(chunks(), [['100000-299999', 416]])
    })

    it('have no repository that nobody made, and say so', async () => {
      await start()
      const message =
        "The repository with name 'team/app' does not exist in the registry with id '1'"
      const body = errorBody('NAME_UNKNOWN', message)
      registry.script({ method: 'POST', act: { kind: 'reply', status: 404, body } })
      const error = await rejectsWith(pushBlob(), 'not-found', /NAME_UNKNOWN/)
      assert.ok(error.message.includes(message))
    })

    it('refuse to overwrite a tag with 400', async () => {
      await start()
      const message =
        "The image tag 'v1' already exists in the 'team/app' repository and cannot be overwritten because the repository is immutable."
      const body = errorBody('TAG_INVALID', message)
      registry.script({ method: 'PUT', path: /v1$/, act: { kind: 'reply', status: 400, body } })
      await rejectsWith(pushTag(), 'tag-immutable', /repository is immutable/)
    })

    it('tell by 403 that a login has run out', async () => {
      await start()
      const body = errorBody(
        'DENIED',
        'Your authorization token has expired. Reauthenticate and try again.',
      )
      registry.script({ times: FOREVER, act: { kind: 'reply', status: 403, body } })
      await rejectsWith(pushBlob(), 'denied', /authorization token has expired/)
    })
  })

  describe('Google', () => {
    it('take a key file as the password, and uploads only in one piece', async () => {
      const account = {
        username: '_json_key',
        password: '{\n  "private_key": "-----BEGIN\\n+/=\\n",\n  "x": "ü:"\n}\n',
      }
      await start({ auth: { kind: 'bearer', ...account } }, account)
      registry.script({ method: 'PATCH', times: FOREVER, act: { kind: 'reply', status: 405 } })
      registry.script({ method: 'PUT', act: { kind: 'cut-request', afterBytes: 100_000 } })
      await roundTrip()
    })

    it('give no digest with what they stored', async () => {
      await start()
      const headers = { 'docker-content-digest': undefined }
      registry.script({ times: FOREVER, act: { kind: 'headers', headers } })
      await roundTrip()
    })

    it('show a web page where there is no registry', async () => {
      await start()
      const body = '<!DOCTYPE html><html><title>Error 404 (Not Found)!!1</title></html>'
      registry.script({ times: FOREVER, act: { kind: 'reply', status: 404, body } })
      const work = client.fetchManifest(referenceTo(registry, 'app'), { signal })
      await rejectsWith(work, 'not-found', /an HTML page, "Error 404 \(Not Found\)!!1"/)
    })
  })

  describe('Azure', () => {
    it('exchange an identity token, and answer with an access token only', async () => {
      const auth: FakeAuth = { kind: 'bearer', username: 'u', password: 'p', identityToken: 'id.t' }
      await start({ auth })
      await client[Symbol.asyncDispose]()
      const identity = { kind: 'identity-token', username: '', token: 'id.t' } as const
      const credentials = credentialsFor(registry.host, identity)
      client = testClient({ credentials })
      await roundTrip()
      const [token = assert.fail()] = registry.requests.filter(({ path }) => path === '/token')
      assert.equal(token.method, 'POST')
    })
  })

  describe('Quay', () => {
    it('count bytes with a unit, and accept manifests with 202', async () => {
      await start()
      registry.script({ method: 'PUT', act: { kind: 'cut-request', afterBytes: 200_000 } })
      const headers = { range: 'bytes=0-199999' }
      registry.script({ method: 'GET', path: /uploads/, act: { kind: 'headers', headers } })
      assert.deepEqual(await pushBlob(), { kind: 'uploaded' })
      registry.script({ method: 'PUT', path: /v1$/, act: { kind: 'reply', status: 202 } })
      await pushTag()
    })
  })

  describe('Nexus', () => {
    it('take uploads only in parts, with a Location of their own for each', async () => {
      await start()
      const body = errorBody('BLOB_UPLOAD_INVALID', 'body not expected')
      registry.script({ method: 'PUT', path: /uploads/, act: { kind: 'reply', status: 400, body } })
      assert.deepEqual(await pushBlob(), { kind: 'uploaded' })
      const methods = registry.requests.map(({ method }) => method)
      assert.deepEqual(methods, ['HEAD', 'POST', 'PUT', 'POST', 'PATCH', 'PUT'])
    })

    it('say what is wrong in plain text', async () => {
      await start()
      const headers = { 'content-type': 'text/plain' }
      const body = 'Repository is offline\n\u001b[31m'
      registry.script({ times: FOREVER, act: { kind: 'reply', status: 400, headers, body } })
      const error = await rejectsWith(pushBlob(), 'bad-response', /400.*Repository is offline/)
      assert.ok(!error.message.includes('\u001b'))
    })
  })

  describe('old servers', () => {
    it('send a body with the answer to a HEAD, which is not the next answer', async () => {
      const blob = new MemorySource(noise(5)).descriptor
      const server = createServer((socket) => {
        // It comes late, when the next request is under way.
        let owed = ''
        socket.on('data', (bytes) => {
          const isHead = bytes.toString().startsWith('HEAD')
          const answer = isHead ? 'content-length: 5' : 'content-length: 14'
          const body = isHead ? '' : '{"tags":["v"]}'
          socket.write(`${owed}HTTP/1.1 200 OK\r\n${answer}\r\n\r\n${body}`)
          owed = isHead ? 'abcde' : ''
        })
        socket.on('error', () => socket.destroy())
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const { port } = server.address() as AddressInfo
      const reference = referenceTo({ host: `127.0.0.1:${port}` }, 'app')
      await start()
      try {
        for (let round = 0; round < 5; round += 1) {
          assert.equal(await client.hasBlob(reference, blob, { signal }), true)
          assert.deepEqual(await client.listTags(reference, { signal }), ['v'])
        }
      } finally {
        await client[Symbol.asyncDispose]()
        await new Promise((resolve) => server.close(resolve))
      }
    })

    it('are the only ones that are connected to anew for each HEAD', async () => {
      await start()
      const { descriptor } = new MemorySource(noise(5))
      registry.repository('app').addBlob(noise(5))
      const reference = referenceTo(registry, 'app')
      for (let round = 0; round < 5; round += 1) {
        assert.equal(await client.hasBlob(reference, descriptor, { signal }), true)
        await client.head(reference, { signal })
      }
      // The next request may come before the last one has left its connection.
      assert.ok(registry.connectionCount <= 2, String(registry.connectionCount))
    })
  })

  describe('Docker Hub', () => {
    it('limit pulls, and say so', async () => {
      await start()
      const message = 'You have reached your pull rate limit.'
      const body = errorBody('TOOMANYREQUESTS', message)
      registry.script({ times: FOREVER, act: { kind: 'reply', status: 429, body } })
      const work = client.fetchManifest(referenceTo(registry, 'app'), { signal })
      await rejectsWith(work, 'rate-limited', /429 .*pull rate limit\. \(tried 4 times\)/)
    })
  })

  describe('GitLab', () => {
    it('have tokens of minutes: one that ends during a push is renewed', async () => {
      const account = { username: 'gitlab-ci-token', password: 'glcbt-64_x' }
      await start({ auth: { kind: 'bearer', ...account } }, account)
      registry.script({
        method: 'PUT',
        act: { kind: 'reply', status: 401, headers: { 'www-authenticate': expired(registry) } },
      })
      await roundTrip()
    })
  })

  describe('Artifactory', () => {
    it('name themselves in absolute Locations', async () => {
      await start()
      // The name that it gives is that of a proxy in front, which is this machine by another name.
      await using named = await FakeRegistry.start()
      const location = `http://localhost:${named.port}/v2/team/app/blobs/uploads/x?a=b&_state=%2F`
      registry.script({ method: 'POST', act: { kind: 'headers', headers: { location } } })
      named.script({ method: 'PUT', act: { kind: 'reply', status: 201 } })
      assert.deepEqual(await pushBlob(), { kind: 'uploaded' })
      assert.match(named.requests[0]?.path ?? '', /\?a=b&_state=%2F&digest=sha256%3A/)
    })

    it('know no upload that is a single PUT', async () => {
      await start()
      const body = errorBody('BLOB_UNKNOWN', 'blob unknown to registry')
      registry.script({ method: 'PUT', path: /uploads/, act: { kind: 'reply', status: 404, body } })
      assert.deepEqual(await pushBlob(), { kind: 'uploaded' })
      assert.deepEqual(chunks(), [['0-299999', 202]])
    })

    it('have errors of their own form', async () => {
      await start()
      const body = '{"errors":[{"status":409,"message":"Unable to find a valid deploy path"}]}'
      registry.script({ method: 'POST', times: FOREVER, act: { kind: 'reply', status: 409, body } })
      await rejectsWith(pushBlob(), 'bad-response', /409.*Unable to find a valid deploy path/)
    })

    it('do not know HEAD of manifests', async () => {
      await start()
      const act = { kind: 'reply', status: 405 } as const
      registry.script({ method: 'HEAD', path: /manifests/, times: FOREVER, act })
      await roundTrip()
      const head = await client.head(referenceTo(registry, 'team/app:v1'), { signal })
      assert.ok(head !== undefined)
    })
  })
})
