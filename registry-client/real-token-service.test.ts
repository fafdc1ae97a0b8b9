import assert from 'node:assert/strict'
import { credentialsFor } from './auth/credentials.ts'
import type { RegistryClient } from './client.ts'
import { localPlatform } from './oci/index.ts'
import { pushTestImage } from './testing/push-test-image.ts'
import {
  type RealRegistry,
  requireRealRegistry,
  startRealRegistry,
} from './testing/real-registry.ts'
import { MemorySource, noise, referenceTo, rejectsWith, testClient } from './testing/test-client.ts'
import { type TokenAccount, TokenService } from './testing/token-service.ts'

const signal = new AbortController().signal
/** Every character that a shell, a URL, a header or a form could trip over. */
const ROBOT: TokenAccount = {
  username: 'robot$team+ci',
  password: 'A:b ä€"\'$HOME%20+&=#/\\',
  rights: { team: ['push'] },
}
const READER: TokenAccount = {
  username: 'robot$team+read',
  password: 'x',
  rights: { team: ['pull'] },
}

describe("against Debian's docker-registry with tokens of a service like Harbor's", () => {
  let service: TokenService
  let registry: RealRegistry

  before(async function () {
    requireRealRegistry(this)
    const accounts = [ROBOT, READER]
    service = await TokenService.start({ accounts, publicProjects: ['public'] })
    registry = await startRealRegistry({ tokenRealm: service.realm })
  })

  after(async () => {
    await registry?.[Symbol.asyncDispose]()
    await service?.[Symbol.asyncDispose]()
  })

  beforeEach(() => {
    service.issued.length = 0
    service.lifetimeSec = 1800
  })

  function clientOf({ username, password }: Omit<TokenAccount, 'rights'>): RegistryClient {
    const credentials = { kind: 'password', username, password } as const
    return testClient({ credentials: credentialsFor(registry.host, credentials) })
  }

  it('lets a robot push and pull in its project with one token, whatever its password', async () => {
    await using client = clientOf(ROBOT)
    await client.checkCredentials(registry.host, { kind: 'password', ...ROBOT }, { signal })
    service.issued.length = 0
    const reference = referenceTo(registry, 'team/deep/app:v1')
    const { manifest } = await pushTestImage(client, reference, [noise(500_000), noise(1000, 2)])
    assert.deepEqual(service.issued, [
      { account: ROBOT.username, scopes: ['repository:team/deep/app:pull,push'] },
    ])
    await using reader = clientOf(READER)
    const options = { platform: localPlatform(), signal }
    assert.equal((await reader.resolve(reference, options)).manifest.digest, manifest.digest)
  })

  it('says what an account may not do, and that a password is wrong', async () => {
    await using reader = clientOf(READER)
    const source = new MemorySource(noise(10))
    const push = reader.pushBlob(referenceTo(registry, 'team/app'), source, { signal })
    const refused = await rejectsWith(push, 'unauthorized', /the credentials were refused/)
    assert.match(refused.message, /UNAUTHORIZED: authentication required/)
    await using wrong = clientOf({ ...ROBOT, password: 'secret-0815' })
    const login = wrong.listTags(referenceTo(registry, 'team/app'), { signal })
    const error = await rejectsWith(login, 'unauthorized', /password of "robot\$team\+ci"/)
    assert.doesNotMatch(`${error.stack} ${String(error.cause)}`, /0815/)
  })

  it('needs no account for what is public, and names the login for what is not', async () => {
    await using client = testClient()
    const open = client.listTags(referenceTo(registry, 'public/app'), { signal })
    await rejectsWith(open, 'not-found', /NAME_UNKNOWN/)
    const shut = client.listTags(referenceTo(registry, 'team/app'), { signal })
    await rejectsWith(shut, 'unauthorized', new RegExp(`tsbuild login ${registry.host}`))
  })

  it('mounts from another project only with rights there, and else uploads', async () => {
    await using client = clientOf(ROBOT)
    const source = new MemorySource(noise(3000, 4))
    await client.pushBlob(referenceTo(registry, 'team/one'), source, { signal })
    const near = { signal, mountFrom: ['team/one'] }
    const mounted = await client.pushBlob(referenceTo(registry, 'team/two'), source, near)
    assert.deepEqual(mounted, { kind: 'mounted', from: 'team/one' })
    const far = { signal, mountFrom: ['foreign/one'] }
    const uploaded = await client.pushBlob(referenceTo(registry, 'team/three'), source, far)
    assert.deepEqual(uploaded, { kind: 'uploaded' })
  })

  it('gets a new token when one ends in the middle of a push', async function () {
    this.timeout(20_000)
    await using client = clientOf(ROBOT)
    service.lifetimeSec = 2
    const reference = referenceTo(registry, 'team/long:v1')
    const large = new MemorySource(noise(2_000_000, 5), 256 * 1024)
    // The upload does not go on before the token that it began with is refused.
    const slow = {
      descriptor: large.descriptor,
      open: (startByte: number) =>
        afterNextToken(large.open(startByte), client, reference, service),
    }
    assert.deepEqual(await client.pushBlob(reference, slow, { signal }), { kind: 'uploaded' })
    await pushTestImage(client, reference, [noise(10, 6)])
    assert.ok(service.issued.length > 1)
  })
})

/** Chunks, of which the last comes only when the service had to give another token. */
async function* afterNextToken(
  chunks: AsyncIterable<Uint8Array>,
  client: RegistryClient,
  reference: ReturnType<typeof referenceTo>,
  service: TokenService,
): AsyncGenerator<Uint8Array, void, undefined> {
  let held: Uint8Array | undefined
  for await (const chunk of chunks) {
    if (held !== undefined) yield held
    held = chunk
  }
  const { descriptor } = new MemorySource(noise(1))
  const before = service.issued.length
  while (service.issued.length === before) await client.hasBlob(reference, descriptor, { signal })
  service.lifetimeSec = 1800
  if (held !== undefined) yield held
}
