import assert from 'node:assert/strict'
import { RegistryError } from '../errors.ts'
import { AuthConfig } from './config-file.ts'

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

function config(json: unknown): AuthConfig {
  return AuthConfig.parse(JSON.stringify(json), 'config.json')
}

describe('AuthConfig', () => {
  it('finds a registry under every spelling of its key', () => {
    for (const key of [
      'harbor.example',
      'https://harbor.example',
      'http://harbor.example/',
      'https://harbor.example/v1/',
      'https://harbor.example/v2/',
    ]) {
      const found = config({ auths: { [key]: { auth: base64('user:secret') } } }).credentials(
        'harbor.example',
        'a/b',
      )
      assert.deepEqual(found, { kind: 'password', username: 'user', password: 'secret' }, key)
    }
  })

  it('knows Docker Hub by its old names', () => {
    for (const key of ['https://index.docker.io/v1/', 'docker.io', 'registry-1.docker.io']) {
      assert.notEqual(
        config({ auths: { [key]: { auth: base64('u:p') } } }).credentials('docker.io', undefined),
        undefined,
        key,
      )
    }
  })

  it('does not give the credentials of one port or host to another', () => {
    const file = config({
      auths: { 'host:5000': { auth: base64('u:p') }, 'example.com': { auth: base64('u:p') } },
    })
    assert.equal(file.credentials('host', undefined), undefined)
    assert.equal(file.credentials('host:5001', undefined), undefined)
    assert.equal(file.credentials('evil-example.com', undefined), undefined)
    assert.equal(file.credentials('sub.example.com', undefined), undefined)
  })

  it('takes the key with the longest path that holds the repository', () => {
    const entry = (name: string): object => ({ auth: base64(`${name}:p`) })
    const file = config({
      auths: { h: entry('host'), 'h/ns': entry('ns'), 'h/ns/repo': entry('repo') },
    })
    const nameFor = (repository: string): unknown => {
      const found = file.credentials('h', repository)
      return found?.kind === 'password' ? found.username : undefined
    }
    assert.equal(nameFor('ns/repo'), 'repo')
    assert.equal(nameFor('ns/other'), 'ns')
    assert.equal(nameFor('nsx/repo'), 'host')
  })

  it('splits name and password at the first colon and keeps every character of a robot account', () => {
    const found = config({
      auths: { h: { auth: base64('robot$proj+ci:a:b$c+ü"\\\0\0') } },
    }).credentials('h', undefined)
    assert.deepEqual(found, { kind: 'password', username: 'robot$proj+ci', password: 'a:b$c+ü"\\' })
  })

  it('reads identity and registry tokens, and <token> as a name', () => {
    const file = config({
      auths: {
        a: { auth: base64('00000000-0000:'), identitytoken: 'refresh' },
        b: { registrytoken: 'direct' },
        c: { auth: base64('<token>:refresh') },
        d: { username: 'u', password: 'p' },
        e: {},
      },
    })
    assert.deepEqual(file.credentials('a', undefined), {
      kind: 'identity-token',
      username: '00000000-0000',
      token: 'refresh',
    })
    assert.deepEqual(file.credentials('b', undefined), { kind: 'registry-token', token: 'direct' })
    assert.deepEqual(file.credentials('c', undefined), {
      kind: 'identity-token',
      username: '',
      token: 'refresh',
    })
    assert.deepEqual(file.credentials('d', undefined), {
      kind: 'password',
      username: 'u',
      password: 'p',
    })
    assert.equal(file.credentials('e', undefined), undefined)
  })

  it("prefers a registry's own helper to the common one", () => {
    const file = config({ credHelpers: { 'a.example': 'special' }, credsStore: 'common' })
    assert.deepEqual(file.helperFor('a.example'), { name: 'special', isOwn: true })
    assert.deepEqual(file.helperFor('b.example'), { name: 'common', isOwn: false })
    assert.equal(config({}).helperFor('b.example'), undefined)
  })

  it('replaces and removes one registry and keeps all other keys', () => {
    const json = {
      auths: { 'https://h/v2/': { auth: base64('old:old') }, other: { auth: 'x' } },
      psFormat: 'table',
      HttpHeaders: { a: 'b' },
    }
    const stored = config(json).withCredentials('h', {
      kind: 'password',
      username: 'u',
      password: 'p',
    })
    assert.deepEqual(stored, {
      ...json,
      auths: { other: { auth: 'x' }, h: { auth: base64('u:p') } },
    })
    assert.deepEqual(config(stored).withCredentials('h', undefined), {
      ...json,
      auths: { other: { auth: 'x' } },
    })
  })

  it('never shows the text of a file that does not parse', () => {
    for (const text of [
      '{"auths":{"h":{"auth":"c2VjcmV0OnNlY3JldA=="',
      '"secret"',
      '{"auths":{"h":{"auth":"c2VjcmV0"}}}',
    ]) {
      assert.throws(
        () => AuthConfig.parse(text, '/home/u/.docker/config.json').credentials('h', undefined),
        (error) => {
          assert.ok(error instanceof RegistryError)
          assert.equal(error.code, 'bad-configuration')
          assert.match(error.message, /^\/home\/u\/\.docker\/config\.json/)
          assert.doesNotMatch(`${error.stack}${String(error.cause)}`, /secret|c2VjcmV0/)
          return true
        },
        text,
      )
    }
  })

  it('takes an empty file as one without entries', () => {
    assert.equal(AuthConfig.parse('\n', 'x').credentials('h', undefined), undefined)
  })
})
