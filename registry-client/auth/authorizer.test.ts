import assert from 'node:assert/strict'
import type { RegistryClient } from '../client.ts'
import { type FakeAuth, FakeRegistry } from '../testing/fake-registry.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import {
  MemorySource,
  noise,
  RecordingSink,
  referenceTo,
  rejectsWith,
  testClient,
} from '../testing/test-client.ts'
import { type Credentials, credentialsFor } from './credentials.ts'

const signal = new AbortController().signal
const USER = { username: 'robot$proj+ci', password: 'p:ä "q"\\ß' }
const PASSWORD: Credentials = { kind: 'password', ...USER }
const BEARER: FakeAuth = { kind: 'bearer', ...USER }

describe('authorization', () => {
  let registry: FakeRegistry
  let clients: RegistryClient[] = []

  async function start(auth: FakeAuth): Promise<void> {
    registry = await FakeRegistry.start({ auth })
    registry.repository('app').addBlob(noise(10))
  }

  function client(
    credentials?: Credentials,
    clock: ManualClock = new ManualClock(),
  ): RegistryClient {
    const options =
      credentials === undefined ? {} : { credentials: credentialsFor(registry.host, credentials) }
    const made = testClient({ ...options, clock })
    clients.push(made)
    return made
  }

  function hasBlob(by: RegistryClient): Promise<boolean> {
    return by.hasBlob(referenceTo(registry, 'app'), new MemorySource(noise(10)).descriptor, {
      signal,
    })
  }

  function tokenRequests(): readonly { readonly method: string; readonly path: string }[] {
    return registry.requests.filter(({ path }) => path.startsWith('/token'))
  }

  afterEach(async () => {
    await Promise.all(clients.map((one) => one[Symbol.asyncDispose]()))
    clients = []
    await registry[Symbol.asyncDispose]()
  })

  it('sends Basic only after it was asked for, and then at once', async () => {
    await start({ kind: 'basic', ...USER })
    const one = client(PASSWORD)
    assert.equal(await hasBlob(one), true)
    assert.equal(await hasBlob(one), true)
    assert.deepEqual(
      registry.requests.map(({ headers }) => headers['authorization'] !== undefined),
      [false, true, true],
    )
  })

  it('gets a token with the rights that it needs, and uses it again', async () => {
    await start(BEARER)
    const one = client(PASSWORD)
    assert.equal(await hasBlob(one), true)
    assert.equal(await hasBlob(one), true)
    assert.equal(tokenRequests().length, 1)
    assert.match(
      tokenRequests()[0]?.path ?? '',
      /service=fake&scope=repository%3Aapp%3Apull%2Cpush/,
    )
    assert.equal(registry.requests.length, 4)
  })

  it('gets an anonymous token where anyone may read', async () => {
    await start({ kind: 'bearer' })
    assert.equal(await hasBlob(client()), true)
    assert.equal(
      registry.requests.some(
        ({ headers }) => headers['authorization']?.startsWith('Basic') === true,
      ),
      false,
    )
  })

  it('is refused once and asks for one token when many requests start together', async () => {
    await start(BEARER)
    const one = client(PASSWORD)
    await Promise.all(Array.from({ length: 20 }, () => hasBlob(one)))
    assert.equal(registry.requests.filter(({ status }) => status() === 401).length, 1)
    assert.equal(tokenRequests().length, 1)
  })

  it('says that a login is needed when there are no credentials', async () => {
    await start({ kind: 'basic', ...USER })
    await rejectsWith(
      hasBlob(client()),
      'unauthorized',
      /no credentials are stored; if it needs a login: tsbuild login 127/,
    )
  })

  for (const auth of [BEARER, { kind: 'basic', ...USER } as const]) {
    it(`says that a wrong password was refused, shows it nowhere, and tries it once (${auth.kind})`, async () => {
      await start(auth)
      const error = await rejectsWith(
        hasBlob(client({ kind: 'password', username: 'u', password: 'hunter2' })),
        'unauthorized',
        /refused/,
      )
      const everything = `${error.stack}${JSON.stringify(error)}${String(error.cause)}`
      assert.doesNotMatch(
        everything,
        new RegExp(`hunter2|${Buffer.from('u:hunter2').toString('base64')}`),
      )
      assert.ok(
        registry.requests.filter(({ headers }) => headers['authorization'] !== undefined).length <=
          1,
      )
    })
  }

  it('masks a password that the server echoes', async () => {
    await start({ kind: 'basic', ...USER })
    const one = client({ kind: 'password', username: 'u', password: 'hunter2' })
    registry.script({
      method: 'GET',
      act: { kind: 'reply', status: 401, headers: { 'www-authenticate': 'Basic' } },
    })
    const basic = Buffer.from('u:hunter2').toString('base64')
    registry.script({
      method: 'GET',
      act: { kind: 'reply', status: 403, body: `you sent Basic ${basic}, which is u:hunter2` },
    })
    const error = await rejectsWith(
      one.ping(registry.host, { signal }),
      'denied',
      /you sent Basic \*\*\*, which is u:\*\*\*/,
    )
    assert.doesNotMatch(error.message, /hunter2/)
  })

  it('gets a new token when the old one is refused in the middle', async () => {
    await start(BEARER)
    const one = client(PASSWORD)
    await hasBlob(one)
    registry.gate.revokeAll()
    assert.equal(await hasBlob(one), true)
    assert.equal(tokenRequests().length, 2)
  })

  it('renews a token before it expires', async () => {
    await start({ ...BEARER, lifetimeSec: 100 })
    const clock = new ManualClock()
    const one = client(PASSWORD, clock)
    await hasBlob(one)
    clock.nowMs += 89_000
    await hasBlob(one)
    assert.equal(tokenRequests().length, 1)
    clock.nowMs += 2_000
    await hasBlob(one)
    assert.equal(tokenRequests().length, 2)
  })

  it('renews a token once when many requests find it ended', async () => {
    await start({ ...BEARER, lifetimeSec: 100 })
    const clock = new ManualClock()
    const one = client(PASSWORD, clock)
    await hasBlob(one)
    clock.nowMs += 95_000
    await Promise.all(Array.from({ length: 20 }, () => hasBlob(one)))
    assert.equal(tokenRequests().length, 2)
  })

  it('asks for the login again after five minutes: those of helpers end', async () => {
    await start(BEARER)
    let password = USER.password
    let asked = 0
    const clock = new ManualClock()
    const find = async (): Promise<Credentials> => {
      asked += 1
      return { kind: 'password', username: USER.username, password }
    }
    const one = testClient({ credentials: { find }, clock })
    clients.push(one)
    password = 'of another day'
    await rejectsWith(hasBlob(one), 'unauthorized', /refused the password/)
    password = USER.password
    await rejectsWith(hasBlob(one), 'unauthorized', /refused the password/)
    assert.equal(asked, 1)
    clock.nowMs += 5 * 60_000
    assert.equal(await hasBlob(one), true)
    await hasBlob(one)
    assert.equal(asked, 2)
  })

  it('gets a token for those that still wait when the first of them gives up', async () => {
    await start(BEARER)
    const one = client(PASSWORD)
    await hasBlob(one)
    registry.gate.revokeAll()
    registry.script({ path: /^\/token/, act: { kind: 'hang' } })
    const first = new AbortController()
    const { descriptor } = new MemorySource(noise(10))
    const reference = referenceTo(registry, 'app')
    const given = one.hasBlob(reference, descriptor, { signal: first.signal })
    const waiting = hasBlob(one)
    while (tokenRequests().length < 2) await new Promise((resolve) => setImmediate(resolve))
    first.abort(new Error('no more time'))
    await assert.rejects(given, /no more time/)
    assert.equal(await waiting, true)
  })

  it('sends the body of an upload again when its token expired', async () => {
    await start(BEARER)
    registry.gate.usesPerToken = 3
    const source = new MemorySource(noise(200_000))
    const result = await client(PASSWORD).pushBlob(referenceTo(registry, 'app'), source, { signal })
    assert.deepEqual(result, { kind: 'uploaded' })
    registry.gate.usesPerToken = 2
    const other = new MemorySource(noise(200_000, 5))
    assert.deepEqual(
      await client(PASSWORD).pushBlob(referenceTo(registry, 'app'), other, { signal }),
      { kind: 'uploaded' },
    )
    assert.ok(
      Buffer.from(registry.repository('app').blobs.get(other.descriptor.digest) ?? []).equals(
        noise(200_000, 5),
      ),
    )
    assert.deepEqual(other.opened.length <= 2, true)
  })

  it('asks with the rights of the challenge when they are more than it thought', async () => {
    await start(BEARER)
    const one = client(PASSWORD)
    const realm = `Bearer realm="http://${registry.host}/token",service="fake",scope="repository:parent:pull"`
    registry.script({
      method: 'HEAD',
      act: { kind: 'reply', status: 401, headers: { 'www-authenticate': realm } },
    })
    await hasBlob(one)
    assert.match(
      tokenRequests()[0]?.path ?? '',
      /scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Aparent%3Apull/,
    )
  })

  it('says denied and does not ask without end when a token never suffices', async () => {
    await start({ ...BEARER, grants: ['repository:app:pull'] })
    const work = client(PASSWORD).pushBlob(
      referenceTo(registry, 'app'),
      new MemorySource(noise(5)),
      { signal },
    )
    await rejectsWith(work, 'unauthorized', /the credentials were refused/)
    assert.ok(registry.requests.length < 10, `${registry.requests.length} requests`)
  })

  it('asks for rights on the source of a mount too', async () => {
    await start(BEARER)
    registry.repository('base').addBlob(noise(5))
    await client(PASSWORD).pushBlob(referenceTo(registry, 'app'), new MemorySource(noise(5)), {
      signal,
      mountFrom: ['base'],
    })
    assert.match(
      tokenRequests().at(-1)?.path ?? '',
      /repository%3Aapp%3Apull%2Cpush&scope=repository%3Abase%3Apull/,
    )
  })

  it('exchanges an identity token by OAuth2 POST, outside of any URL', async () => {
    await start({ kind: 'bearer', identityToken: 'refresh-me', username: 'nobody', password: 'x' })
    assert.equal(
      await hasBlob(client({ kind: 'identity-token', username: '', token: 'refresh-me' })),
      true,
    )
    assert.deepEqual(
      tokenRequests().map(({ method, path }) => `${method} ${path}`),
      ['POST /token'],
    )
  })

  it('asks by POST where the token server has no GET', async () => {
    await start(BEARER)
    registry.script({ method: 'GET', path: /^\/token/, act: { kind: 'reply', status: 405 } })
    assert.equal(await hasBlob(client(PASSWORD)), true)
    assert.deepEqual(
      tokenRequests().map(({ method }) => method),
      ['GET', 'POST'],
    )
  })

  it('follows no redirect of a token server, and says where it led', async () => {
    await start(BEARER)
    const location = 'https://login.example/oauth?state=s3cret'
    const act = { kind: 'reply', status: 302, headers: { location } } as const
    registry.script({ path: /^\/token/, act })
    const reason =
      /answered 302; it points to https:\/\/login\.example\/oauth, which is not followed$/
    await rejectsWith(hasBlob(client(PASSWORD)), 'bad-response', reason)
  })

  it('refuses a token reply without a usable token', async () => {
    await start(BEARER)
    for (const body of ['{}', 'not json', '{"token":"a\\r\\nX-Evil: 1"}', '{"token":5}']) {
      registry.script({ path: /^\/token/, act: { kind: 'reply', status: 200, body } })
      await rejectsWith(hasBlob(client(PASSWORD)), 'bad-response', /sent no token/)
    }
  })

  it('does not send credentials to a token server at a metadata address or over another scheme', async () => {
    for (const realm of [
      'http://169.254.169.254/token',
      'ftp://127.0.0.1/token',
      'file:///etc/passwd',
    ]) {
      await start({ ...BEARER, realm })
      await rejectsWith(
        hasBlob(client(PASSWORD)),
        'bad-response',
        /refused to follow|not sent there/,
      )
      await registry[Symbol.asyncDispose]()
    }
    await start({ kind: 'none' })
  })

  it('does not follow a redirect with its Authorization, nor answer a challenge from there', async () => {
    await start(BEARER)
    await using thief = await FakeRegistry.start({ auth: { kind: 'basic', ...USER } })
    const { descriptor } = new MemorySource(noise(10))
    const location = `http://${thief.host}/v2/app/blobs/${descriptor.digest}`
    const one = client(PASSWORD)
    await one.hasBlob(referenceTo(registry, 'app'), descriptor, { signal })
    registry.script({
      method: 'GET',
      path: /blobs/,
      act: { kind: 'reply', status: 307, headers: { location } },
    })
    const work = one.fetchBlob(referenceTo(registry, 'app'), descriptor, new RecordingSink(), {
      signal,
    })
    await rejectsWith(work, 'unauthorized', /401/)
    assert.deepEqual(
      thief.requests.map(({ headers }) => headers['authorization']),
      [undefined],
    )
  })

  it('gives the credentials of one registry to no other', async () => {
    await start({ kind: 'none' })
    await using other = await FakeRegistry.start({ auth: { kind: 'basic', ...USER } })
    await rejectsWith(
      client(PASSWORD).ping(other.host, { signal }),
      'unauthorized',
      /no credentials are stored/,
    )
  })

  it('checks credentials without storing or mixing them', async () => {
    await start(BEARER)
    const one = client()
    await one.checkCredentials(registry.host, PASSWORD, { signal })
    await rejectsWith(
      one.checkCredentials(registry.host, { ...PASSWORD, password: 'wrong' }, { signal }),
      'unauthorized',
      /^could not log in to 127/,
    )
    await rejectsWith(one.ping(registry.host, { signal }), 'unauthorized', /wants a login/)
  })
})

describe('a token server over plain http', () => {
  it('is used when an insecure registry turned out to have no TLS', async () => {
    await using registry = await FakeRegistry.start({ auth: BEARER })
    await using client = testClient({
      insecureRegistries: [registry.host],
      credentials: credentialsFor(registry.host, PASSWORD),
    })
    await client.ping(registry.host, { signal })
  })
})
