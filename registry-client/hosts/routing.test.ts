import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { digestOf, parseReference } from '../oci/index.ts'
import { daemonJson } from './daemon-json.ts'
import { registriesConf } from './registries-conf.ts'
import { firstRouting, type Routing } from './routing.ts'
import { systemRouting } from './system-routing.ts'

function conf(...texts: readonly string[]): Routing {
  return registriesConf(texts.map((text, index) => ({ path: `${index}.conf`, text })))
}

function placesOf(routing: Routing, name: string): string[] {
  const sources = routing.pullSources(parseReference(name))
  return sources.map(({ registry, repository, isPlainHttp }) => {
    return `${isPlainHttp ? 'http://' : ''}${registry}/${repository}`
  })
}

describe('registriesConf', () => {
  it('goes to the registry itself when no rule fits', () => {
    assert.deepEqual(placesOf(conf(''), 'quay.io/a/b'), ['quay.io/a/b'])
    const other = conf('[[registry]]\nlocation = "quay.io/a"')
    assert.deepEqual(placesOf(other, 'quay.io/ab'), ['quay.io/ab'])
  })

  it('puts mirrors first, with the rest of the name behind their location', () => {
    const routing = conf(`[[registry]]
prefix = "docker.io"
[[registry.mirror]]
location = "harbor.example/hub"
[[registry.mirror]]
location = "m2.example:5000"
insecure = true`)
    assert.deepEqual(placesOf(routing, 'alpine'), [
      'harbor.example/hub/library/alpine',
      'm2.example:5000/library/alpine',
      'docker.io/library/alpine',
    ])
    assert.deepEqual(routing.insecureRegistries, ['m2.example:5000'])
  })

  it('rewrites to the location of the longest prefix', () => {
    const routing = conf(`[[registry]]
prefix = "a.example"
location = "b.example"
[[registry]]
prefix = "a.example/special"
location = "c.example/x/"`)
    assert.deepEqual(placesOf(routing, 'a.example/app'), ['b.example/app'])
    assert.deepEqual(placesOf(routing, 'a.example/special/app'), ['c.example/x/app'])
  })

  it('takes some mirrors for digests or tags only', () => {
    const routing = conf(`[[registry]]
location = "a.example"
[[registry.mirror]]
location = "digests"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "tags"
pull-from-mirror = "tag-only"`)
    assert.deepEqual(placesOf(routing, 'a.example/x:1'), ['tags/x', 'a.example/x'])
    const byDigest = placesOf(routing, `a.example/x@${digestOf('y')}`)
    assert.deepEqual(byDigest, ['digests/x', 'a.example/x'])
  })

  it('refuses what is blocked, also by wildcard', () => {
    const routing = conf('[[registry]]\nprefix = "*.evil.example"\nblocked = true')
    assert.throws(() => placesOf(routing, 'x.evil.example:5000/a'), /\*\.evil\.example is blocked/)
    assert.deepEqual(placesOf(routing, 'evil.example/a'), ['evil.example/a'])
  })

  it('puts the location in the place of the host that a wildcard stands for', () => {
    const routing = conf(`[[registry]]
prefix = "*.example"
insecure = true
[[registry.mirror]]
location = "mirror.local/cache"
[[registry]]
prefix = "*.moved.example"
location = "new.local/x"`)
    assert.deepEqual(placesOf(routing, 'a.b.example/app'), [
      'mirror.local/cache/app',
      'a.b.example/app',
    ])
    assert.deepEqual(placesOf(routing, 'a.moved.example/app:1'), ['new.local/x/app'])
    assert.deepEqual(placesOf(routing, 'quay.io/a.example/app'), ['quay.io/a.example/app'])
    assert.deepEqual(routing.insecureRegistries, ['*.example'])
  })

  it('knows rules for single tags, which change no name', () => {
    const routing = conf('[[registry]]\nprefix = "a.example/x:old"\nblocked = true')
    assert.throws(() => placesOf(routing, 'a.example/x:old'), /a\.example\/x:old is blocked/)
    assert.deepEqual(placesOf(routing, 'a.example/x:older'), ['a.example/x'])
    const named = conf('[[registry]]\nprefix = "a.example/x:1"\ninsecure = true')
    assert.deepEqual(placesOf(named, 'a.example/x:1'), ['a.example/x'])
  })

  it('lets a later file replace a rule', () => {
    const rule = (location: string): string =>
      `[[registry]]\nprefix = "a.example"\nlocation = "${location}"`
    assert.deepEqual(placesOf(conf(rule('b'), rule('c')), 'a.example/x'), ['c/x'])
  })

  it('refuses files of version 1 and what has no sense, with the name of the file', () => {
    const location = '[[registry]]\nlocation = "a"\n'
    const mirror = `${location}[[registry.mirror]]\n`
    const both = `${location}mirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "b"\n`
    const wrong: readonly (readonly [string, RegExp])[] = [
      ['[registries.search]\nregistries = ["x"]', /0\.conf is of version 1/],
      ['[[registry]]\nlocation = 5', /0\.conf: 5 should be a string/],
      ['[[registry]]\ninsecure = true', /no prefix or location/],
      ['[[registry]]\nlocation = "https://a"', /write https:\/\/a without its scheme/],
      ['[[registry]]\nprefix = "http://a"', /write http:\/\/a without its scheme/],
      ['[[registry]]\nprefix = "a/b:1"\nlocation = "c/d:2"', /c\/d:2 has a tag/],
      [`${location}insecure = "true"`, /insecure is true or false, not "true"/],
      [`${location}pull-from-mirror = "all"`, /belongs to a \[\[registry\.mirror\]\]/],
      [`${mirror}insecure = true`, /0\.conf: a mirror has no location/],
      [`${mirror}location = "b"\npull-from-mirror = "never"`, /pull-from-mirror is not never/],
      [`${both}pull-from-mirror = "all"`, /cannot be set together with mirror-by-digest-only/],
    ]
    for (const [text, message] of wrong) assert.throws(() => conf(text), message, text)
  })
})

describe('daemonJson', () => {
  it('has mirrors for Docker Hub only, with their scheme and path', () => {
    const json = '{"registry-mirrors":["http://m:5000/","https://h.example/proxy"],"x":1}'
    const routing = daemonJson(json, 'daemon.json')
    assert.deepEqual(placesOf(routing, 'alpine'), [
      'http://m:5000/library/alpine',
      'h.example/proxy/library/alpine',
      'docker.io/library/alpine',
    ])
    assert.deepEqual(placesOf(routing, 'quay.io/a/b'), ['quay.io/a/b'])
  })

  it('names the file that is wrong', () => {
    assert.throws(() => daemonJson('{', '/etc/x.json'), /\/etc\/x\.json is not valid JSON/)
    assert.throws(() => daemonJson('{"registry-mirrors":"x"}', 'd'), /not a list of strings/)
    assert.throws(() => daemonJson('{"registry-mirrors":["m:5000"]}', 'd'), /not an http URL/)
  })
})

describe('systemRouting', () => {
  let root = ''

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'tsbuild-etc-'))
  })

  afterEach(() => rm(root, { recursive: true, force: true }))

  async function put(path: string, text: string): Promise<void> {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }

  it('reads all files that there are, and does without', async () => {
    const env = { HOME: join(root, 'home') }
    assert.deepEqual(placesOf(systemRouting(env, root), 'alpine'), ['docker.io/library/alpine'])
    await put('docker/daemon.json', '{"registry-mirrors":["https://m"]}')
    await put('containers/registries.conf', '[[registry]]\nprefix="a.example"\nlocation="b"')
    await put('containers/registries.conf.d/1.conf', '[[registry]]\nprefix="c"\nlocation="d"')
    const routing = systemRouting(env, root)
    assert.deepEqual(placesOf(routing, 'alpine'), ['m/library/alpine', 'docker.io/library/alpine'])
    assert.deepEqual(placesOf(routing, 'a.example/x'), ['b/x'])
  })

  it("reads nothing of the system's registries.conf where the user has one", async () => {
    const env = { HOME: join(root, 'home') }
    await put('containers/registries.conf', '[[registry]]\nprefix="a.example"\nlocation="b"')
    await put(
      'containers/registries.conf.d/1.conf',
      '[[registry]]\nprefix="c.example"\nlocation="d"',
    )
    const own = 'home/.config/containers/registries.conf'
    await put(`${own}.d/1.conf`, '[[registry]]\nprefix="e.example"\nlocation="f"')
    const names = ['a.example/x', 'c.example/x', 'e.example/x']
    const places = (): string[] => names.flatMap((name) => placesOf(systemRouting(env, root), name))
    assert.deepEqual(places(), ['b/x', 'd/x', 'f/x'])
    await put(own, '[[registry]]\nlocation="q"')
    assert.deepEqual(places(), ['a.example/x', 'c.example/x', 'f/x'])
  })

  it('prefers the first configuration that says something about a name', () => {
    const first = conf('[[registry]]\nprefix = "docker.io"\nlocation = "b.example"')
    const both = firstRouting([first, daemonJson('{"registry-mirrors":["https://m"]}', 'd')])
    assert.deepEqual(placesOf(both, 'alpine'), ['b.example/library/alpine'])
  })
})
