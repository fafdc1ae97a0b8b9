import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestOf, localPlatform, parseReference } from '../oci/index.ts'
import { TEST_CA, TEST_SERVER_CERT, TEST_SERVER_KEY } from '../testing/certificates.ts'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { noise, RecordingSink, testClient } from '../testing/test-client.ts'
import { hostsToml } from './hosts-toml.ts'
import { systemRouting } from './system-routing.ts'
import type { Routing } from './routing.ts'

const signal = new AbortController().signal

function routingOf(directory: string, text: string): Routing {
  return hostsToml([{ directory, path: `/certs.d/${directory}/hosts.toml`, text }])
}

/** `URL repository ns` of each place. */
function placesOf(routing: Routing, name: string): string[] {
  return routing.pullSources(parseReference(name)).map(({ registry, repository, endpoint }) => {
    return `${endpoint?.baseUrl.href ?? registry} ${repository} ${endpoint?.namespace ?? ''}`.trim()
  })
}

describe('hostsToml', () => {
  it('asks the hosts in their order, then the server', () => {
    const routing = routingOf(
      'docker.io',
      `server = "https://registry-1.docker.io"
[host."https://m.example"]
  capabilities = ["pull", "resolve"]
[host."http://cache.example:5000/below"]
  capabilities = ["pull"]
[host."https://push.example"]
  capabilities = ["push"]`,
    )
    assert.deepEqual(placesOf(routing, 'alpine'), [
      'https://m.example/v2/ library/alpine docker.io',
      'docker.io library/alpine',
    ])
    assert.deepEqual(placesOf(routing, `alpine@${digestOf('x')}`), [
      'https://m.example/v2/ library/alpine docker.io',
      'http://cache.example:5000/below/v2/ library/alpine docker.io',
      'docker.io library/alpine',
    ])
    assert.deepEqual(placesOf(routing, 'quay.io/a/b'), ['quay.io a/b'])
  })

  it('takes a whole path as it is, as for a proxy project of Harbor', () => {
    const routing = routingOf(
      'docker.io',
      '[host."https://harbor.example/v2/hub-proxy"]\noverride_path = true',
    )
    assert.equal(
      placesOf(routing, 'alpine')[0],
      'https://harbor.example/v2/ hub-proxy/library/alpine docker.io',
    )
  })

  it('knows ports with and without colons, a server elsewhere, and a rule for all others', () => {
    const server = 'server = "https://real.example"'
    for (const directory of ['r.example:5000', 'r.example_5000_', '_default']) {
      assert.deepEqual(placesOf(routingOf(directory, server), 'r.example:5000/x'), [
        'https://real.example/v2/ x r.example:5000',
      ])
    }
  })

  it('refuses what it does not understand, with the name of the file', () => {
    const wrong: readonly (readonly [string, RegExp])[] = [
      ['[host."ftp://x"]', /certs\.d\/a\/hosts\.toml: ftp:\/\/x is not an http URL/],
      ['[host."https://u:p@x.example"]', /x\.example has a login in it/],
      ['[host."https://x"]\ncapabilities = 5', /capabilities is not/],
      ['[host."https://x".header]\n"a b" = "c"', /cannot be a header/],
      ['server = 5', /server is not a string/],
      ['[[host]]\n', /hosts are written/],
    ]
    for (const [text, message] of wrong) assert.throws(() => routingOf('a', text), message)
  })

  it('pulls over TLS with its certificates, namespace and headers, from below a path', async () => {
    await using mirror = await FakeRegistry.start({
      tls: { cert: TEST_SERVER_CERT, key: TEST_SERVER_KEY },
    })
    const platform = localPlatform()
    const image = mirror
      .repository('proxy/team/app')
      .addImage({ layers: [noise(1000)], platform, tag: 'v1' })
    const home = await mkdtemp(join(tmpdir(), 'tsbuild-hosts-'))
    try {
      const directory = join(home, '.config/containerd/certs.d/r.example')
      await mkdir(directory, { recursive: true })
      await writeFile(join(directory, 'ca.pem'), TEST_CA)
      await writeFile(
        join(directory, 'hosts.toml'),
        `[host."https://${mirror.host}/v2/proxy"]
override_path = true
ca = "ca.pem"
[host."https://${mirror.host}/v2/proxy".header]
X-Team = ["a", "b"]`,
      )
      const env = { HOME: home }
      await using client = testClient({ env, routing: systemRouting(env, join(home, 'etc')) })
      const reference = parseReference('r.example/team/app:v1')
      const found = await client.resolve(reference, { platform, signal })
      assert.equal(found.manifest.digest, image.manifest.digest)
      const sink = new RecordingSink()
      for (const layer of image.layers) await client.fetchBlob(reference, layer, sink, { signal })
      assert.equal(sink.ended, 'committed')
      for (const { path, headers } of mirror.requests) {
        assert.match(path, /\?ns=r\.example$/)
        assert.equal(headers['x-team'], 'a, b')
      }
    } finally {
      await rm(home, { recursive: true, force: true })
    }
  })
})
