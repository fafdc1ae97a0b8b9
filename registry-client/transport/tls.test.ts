import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { createSecureServer } from 'node:http2'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RegistryClient } from '../client.ts'
import {
  TEST_CA,
  TEST_CLIENT_CERT,
  TEST_CLIENT_KEY,
  TEST_SERVER_CERT,
  TEST_SERVER_KEY,
} from '../testing/certificates.ts'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { rejectsWith, testClient } from '../testing/test-client.ts'

const signal = new AbortController().signal
const TLS = { cert: TEST_SERVER_CERT, key: TEST_SERVER_KEY }

describe('TLS', () => {
  let home = ''
  let registry: FakeRegistry

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'tsbuild-tls-'))
    registry = await FakeRegistry.start({ tls: TLS })
  })

  afterEach(async () => {
    await registry[Symbol.asyncDispose]()
    await rm(home, { recursive: true, force: true })
  })

  async function put(path: string, text: string): Promise<string> {
    const whole = join(home, path)
    await mkdir(join(whole, '..'), { recursive: true })
    await writeFile(whole, text)
    return whole
  }

  async function ping(options: Parameters<typeof testClient>[0] = {}): Promise<void> {
    const client: RegistryClient = testClient({ env: { HOME: home }, ...options })
    try {
      await client.ping(registry.host, { signal })
    } finally {
      await client[Symbol.asyncDispose]()
    }
  }

  /** Certificates in the directory also say that a loopback registry speaks TLS. */
  function certificatePath(name: string): string {
    return `.docker/certs.d/${registry.host}/${name}`
  }

  it("trusts the authorities of the host's directory", async () => {
    await put(certificatePath('ca.crt'), TEST_CA)
    await ping()
  })

  it('does not take the directory of another port', async () => {
    await put('.docker/certs.d/127.0.0.1:1/ca.crt', TEST_CA)
    await rejectsWith(ping(), 'tls-untrusted', /signed by an unknown authority/)
  })

  it('names the file to create when the authority is unknown', async () => {
    await put(certificatePath('client.cert'), TEST_CLIENT_CERT)
    await put(certificatePath('client.key'), TEST_CLIENT_KEY)
    await rejectsWith(
      ping(),
      'tls-untrusted',
      /unknown authority; put its CA certificate in \S+docker\/certs\.d\/127\.0\.0\.1:\d+\/ca\.crt/,
    )
  })

  it('trusts SSL_CERT_FILE, NODE_EXTRA_CA_CERTS and files that were named', async () => {
    await put(certificatePath('client.cert'), TEST_CLIENT_CERT)
    await put(certificatePath('client.key'), TEST_CLIENT_KEY)
    const ca = await put('ca.pem', TEST_CA)
    await ping({ env: { HOME: home, SSL_CERT_FILE: ca } })
    await ping({ env: { HOME: home, NODE_EXTRA_CA_CERTS: ca } })
    await ping({ caFiles: [ca] })
    await put('dir/any-name', TEST_CA)
    await ping({ env: { HOME: home, SSL_CERT_DIR: join(home, 'dir') } })
  })

  it('shows its certificate to a registry that wants one', async () => {
    await registry[Symbol.asyncDispose]()
    registry = await FakeRegistry.start({ tls: { ...TLS, ca: TEST_CA } })
    await put(certificatePath('ca.crt'), TEST_CA)
    await put(certificatePath('client.cert'), TEST_CLIENT_CERT)
    await put(certificatePath('client.key'), TEST_CLIENT_KEY)
    await ping()
  })

  it('says which key is missing beside a certificate', async () => {
    await put(certificatePath('client.cert'), TEST_CLIENT_CERT)
    await rejectsWith(ping(), 'bad-configuration', /client\.key is missing/)
  })

  it('says which file cannot be read, or is no certificate', async () => {
    await put(certificatePath('ca.crt'), TEST_CA)
    await rejectsWith(
      ping({ caFiles: [join(home, 'absent.pem')] }),
      'bad-configuration',
      /cannot read .*absent\.pem \(ENOENT\)/,
    )
    const broken = await put(
      'broken.pem',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    )
    await rejectsWith(
      ping({ caFiles: [broken] }),
      'bad-configuration',
      /broken\.pem is not a certificate/,
    )
  })

  it('checks no certificate of a registry named as insecure', async () => {
    await ping({ insecureRegistries: [registry.host] })
  })

  it('falls back to plain http for a registry named as insecure, and for no other', async () => {
    await using plain = await FakeRegistry.start()
    await using client = testClient({ insecureRegistries: [plain.host] })
    await client.ping(plain.host, { signal })
    await client.ping(plain.host, { signal })
    assert.equal(plain.requests.length, 2)
    await put(`.docker/certs.d/${plain.host}/ca.crt`, TEST_CA)
    await using strict = testClient({ env: { HOME: home } })
    await rejectsWith(
      strict.ping(plain.host, { signal }),
      'tls-failed',
      /seems to speak plain http.*--insecure-registry/,
    )
  })

  it('speaks HTTP/1.1 where HTTP/2 is offered, and says who it is', async () => {
    const seen: (readonly [version: string, agent: string | undefined])[] = []
    const server = createSecureServer({ ...TLS, allowHTTP1: true }, (request, response) => {
      seen.push([request.httpVersion, request.headers['user-agent']])
      response.writeHead(200).end('{}')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
    const client = testClient({ insecureRegistries: [host], userAgent: 'tsbuild/1' })
    try {
      await client.ping(host, { signal })
      assert.deepEqual(seen, [['1.1', 'tsbuild/1']])
    } finally {
      await client[Symbol.asyncDispose]()
      await new Promise((resolve) => server.close(resolve))
    }
  })

  it('refuses a redirect from TLS to plain http elsewhere', async () => {
    await put(certificatePath('ca.crt'), TEST_CA)
    registry.script({
      act: { kind: 'reply', status: 307, headers: { location: 'http://storage.example/x' } },
    })
    await rejectsWith(
      ping(),
      'bad-response',
      /from https to plain http at http:\/\/storage\.example\/x/,
    )
  })

  it('stays with TLS when a registry behind a proxy names itself with http', async () => {
    await put(certificatePath('ca.crt'), TEST_CA)
    registry.script({
      act: { kind: 'reply', status: 307, headers: { location: `http://${registry.host}/v2/` } },
    })
    await ping()
    assert.equal(registry.requests.length, 2)
  })
})

describe('proxies', () => {
  it('are used for registries elsewhere, with their own credentials and no tunnel for plain http', async () => {
    const seen: { readonly url: string | undefined; readonly authorization: string | undefined }[] =
      []
    const proxy = createServer((request, response) => {
      seen.push({ url: request.url, authorization: request.headers['proxy-authorization'] })
      response.writeHead(200).end('{}')
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    const { port } = proxy.address() as AddressInfo
    const tunnels: string[] = []
    proxy.on('connect', (request, socket) => {
      tunnels.push(request.url ?? '')
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
    })
    const address = `http://user:p%40ss@127.0.0.1:${port}`
    const client = testClient({
      env: { HTTP_PROXY: address, HTTPS_PROXY: address },
      insecureRegistries: ['registry.example:5000'],
      retryPolicy: { triesMax: 1, delayMsFirst: 1, delayMsMax: 1, retryAfterMsMax: 1 },
    })
    try {
      await assert.rejects(client.ping('secure.example', { signal }))
      assert.deepEqual(tunnels, ['secure.example:443'])
      await client.ping('registry.example:5000', { signal })
      const authorization = `Basic ${Buffer.from('user:p@ss').toString('base64')}`
      assert.deepEqual(seen, [{ url: 'http://registry.example:5000/v2/', authorization }])
    } finally {
      await client[Symbol.asyncDispose]()
      proxy.closeAllConnections()
      await new Promise((resolve) => proxy.close(resolve))
    }
  })

  it('are named, without their login, when it is they that cannot be reached', async () => {
    const env = { HTTPS_PROXY: 'http://user:hunter2@127.0.0.1:9' }
    await using client = testClient({ env })
    const work = client.ping('secure.example', { signal })
    const reason = /secure\.example by the proxy 127\.0\.0\.1:9: connection refused/
    const error = await rejectsWith(work, 'registry-unreachable', reason)
    assert.doesNotMatch(error.message, /hunter2/)
  })
})
