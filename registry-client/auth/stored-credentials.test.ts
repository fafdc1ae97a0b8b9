import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { RegistryError } from '../errors.ts'
import { helperGet } from './credential-helper.ts'
import type { Credentials } from './credentials.ts'
import { eraseCredentials, storeCredentials } from './login.ts'
import { storedCredentials } from './stored-credentials.ts'

const signal = new AbortController().signal

function auths(registry: string, username: string): string {
  return JSON.stringify({
    auths: { [registry]: { auth: Buffer.from(`${username}:p`).toString('base64') } },
  })
}

describe('stored credentials', () => {
  let home = ''
  let env: Record<string, string> = {}

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'tsbuild-home-'))
    env = { HOME: home, PATH: `${join(home, 'bin')}:${process.env['PATH'] ?? ''}` }
  })

  afterEach(() => rm(home, { recursive: true, force: true }))

  async function put(path: string, text: string, mode = 0o600): Promise<void> {
    await mkdir(dirname(join(home, path)), { recursive: true })
    await writeFile(join(home, path), text, { mode })
  }

  /** A helper that keeps its entries in a file and records how it was called. */
  async function putHelper(name: string, script: string): Promise<void> {
    await put(
      `bin/docker-credential-${name}`,
      `#!/bin/sh\necho "$1" >> "${home}/calls"\n${script}\n`,
    )
    await chmod(join(home, `bin/docker-credential-${name}`), 0o755)
  }

  function find(registry: string, repository?: string): Promise<Credentials | undefined> {
    return storedCredentials(env).find(registry, repository, signal)
  }

  async function nameFor(registry: string): Promise<string | undefined> {
    const found = await find(registry)
    return found?.kind === 'password' ? found.username : undefined
  }

  it('are none where nothing is stored', async () => {
    assert.equal(await find('h'), undefined)
  })

  it('are looked for in the environment, then REGISTRY_AUTH_FILE, then the files of Docker and of containers', async () => {
    await put('.config/containers/auth.json', auths('h', 'config-dir'))
    assert.equal(await nameFor('h'), 'config-dir')
    env['XDG_RUNTIME_DIR'] = join(home, 'run')
    await put('run/containers/auth.json', auths('h', 'runtime-dir'))
    assert.equal(await nameFor('h'), 'runtime-dir')
    await put('.docker/config.json', auths('h', 'docker'))
    assert.equal(await nameFor('h'), 'docker')
    env['DOCKER_CONFIG'] = join(home, 'other')
    await put('other/config.json', auths('h', 'docker-config'))
    assert.equal(await nameFor('h'), 'docker-config')
    env['REGISTRY_AUTH_FILE'] = join(home, 'auth.json')
    await put('auth.json', auths('h', 'auth-file'))
    assert.equal(await nameFor('h'), 'auth-file')
    env['DOCKER_AUTH_CONFIG'] = auths('h', 'environment')
    assert.equal(await nameFor('h'), 'environment')
  })

  it('come from the helper, which is asked for the host on its standard input', async () => {
    await put('.docker/config.json', JSON.stringify({ credHelpers: { 'h:5000': 'test' } }))
    await putHelper(
      'test',
      `read -r url; printf '{"ServerURL":"%s","Username":"u","Secret":"for %s"}' "$url" "$url"`,
    )
    assert.deepEqual(await find('h:5000'), {
      kind: 'password',
      username: 'u',
      password: 'for h:5000',
    })
    assert.equal(await readFile(join(home, 'calls'), 'utf8'), 'get\n')
  })

  it('asks helpers for Docker Hub by its old address', async () => {
    await put('.docker/config.json', JSON.stringify({ credsStore: 'test' }))
    await putHelper('test', `read -r url; printf '{"Username":"<token>","Secret":"%s"}' "$url"`)
    assert.deepEqual(await find('docker.io'), {
      kind: 'identity-token',
      username: '',
      token: 'https://index.docker.io/v1/',
    })
  })

  it('are none when the helper has none', async () => {
    await put('.docker/config.json', JSON.stringify({ credsStore: 'test' }))
    await putHelper('test', 'echo credentials not found in native keychain; exit 1')
    assert.equal(await find('h'), undefined)
  })

  it('say which helper is missing, and where it is named', async () => {
    await put('.docker/config.json', JSON.stringify({ credsStore: 'absent' }))
    await assert.rejects(find('h'), (error) => {
      assert.ok(error instanceof RegistryError)
      assert.equal(error.code, 'bad-configuration')
      assert.match(
        error.message,
        /docker-credential-absent is not installed \(named in .*config\.json\)/,
      )
      return true
    })
  })

  it('fall back to the file when only the common helper is missing', async () => {
    const { auths: entries }: { auths: unknown } = JSON.parse(auths('h', 'written'))
    await put('.docker/config.json', JSON.stringify({ credsStore: 'absent', auths: entries }))
    assert.equal(await nameFor('h'), 'written')
  })

  it('do not run a helper whose name is a path', async () => {
    await put('.docker/config.json', JSON.stringify({ credsStore: '../../bin/x' }))
    await assert.rejects(find('h'), /name that is not a program name/)
  })

  it('show why a helper failed, in its own words, but nothing that may be a login', async () => {
    await put('.docker/config.json', JSON.stringify({ credsStore: 'test' }))
    const failsWith = async (script: string, message: RegExp): Promise<void> => {
      await putHelper('test', script)
      await assert.rejects(find('h'), message)
    }
    await failsWith(
      'echo "gpg: decryption failed"; exit 2',
      /docker-credential-test ended with status 2: gpg: decryption failed \(named in/,
    )
    await failsWith('echo \'{"Username":"u","Secret":"hunter2"}\'; exit 1', /status 1 \(named in/)
    await failsWith('exit 1', /status 1 \(named in/)
    await failsWith('echo \'{"Username":"u"}\'', /did not print JSON with Username and Secret/)
    await failsWith('yes', /printed more than 262144 characters/)
    await failsWith('echo waiting >&2; kill -9 $$', /was killed \(SIGKILL\): waiting \(named in/)
    await failsWith(
      'echo "no session bus" >&2; echo "exit status 1"; exit 1',
      /ended with status 1: exit status 1; no session bus \(named in/,
    )
    await failsWith('echo "gpg: no card" >&2; exit 2', /ended with status 2: gpg: no card \(named/)
    await failsWith('echo usage >&2', /did not print JSON with Username and Secret: usage \(named/)
  })

  it('do not wait for ever for a helper that hangs, nor for what it leaves behind', async () => {
    await putHelper('test', 'exec sleep 600')
    const context = { name: 'test', env, timeoutMs: 300 }
    const startedMs = performance.now()
    await assert.rejects(helperGet({ ...context, signal }, 'h'), /did not end in 0\.3 s$/)
    assert.ok(performance.now() - startedMs < 10_000)
    const stop = new AbortController()
    const waiting = helperGet({ ...context, timeoutMs: 600_000, signal: stop.signal }, 'h')
    stop.abort(new Error('the user has enough'))
    await assert.rejects(waiting, /the user has enough/)
  })

  it('show what a helper that hangs waits for, and do not wait for what holds its standard error', async () => {
    await putHelper('test', 'echo touch the key >&2; exec sleep 600')
    const context = { name: 'test', env, signal, timeoutMs: 1000 }
    await assert.rejects(helperGet(context, 'h'), /did not end in 1 s: touch the key$/)
    await putHelper('test', 'sleep 60 > /dev/null & echo no card >&2; exit 1')
    const started = performance.now()
    await assert.rejects(helperGet({ ...context, timeoutMs: 50_000 }, 'h'), /status 1: no card$/)
    assert.ok(performance.now() - started < 30_000)
  })

  it('tell a helper that cannot be started from one that is missing', async () => {
    await put('bin/docker-credential-test', '#!/absent/shell\n', 0o755)
    const context = { name: 'test', env, signal }
    await assert.rejects(
      helperGet(context, 'h'),
      /docker-credential-test in \/.*\/bin cannot be started: its interpreter is missing/,
    )
    await chmod(join(home, 'bin/docker-credential-test'), 0o644)
    await assert.rejects(
      helperGet(context, 'h'),
      /docker-credential-test could not be run \(EACCES\)/,
    )
  })

  it('are not in the error of a helper that fails to store them', async () => {
    await put('.docker/config.json', JSON.stringify({ credsStore: 'test' }))
    await putHelper('test', 'read -r json; set -x; : "$json"; echo locked >&2; exit 3')
    const credentials: Credentials = { kind: 'password', username: 'u', password: 'hun"ter2' }
    await assert.rejects(storeCredentials('h', credentials, { env, signal }), (error) => {
      assert.ok(error instanceof RegistryError)
      assert.match(error.message, /could not store: it ended with status 3: .*locked/)
      assert.doesNotMatch(error.message, /ter2/)
      return true
    })
  })

  it('never show what a broken helper printed', async () => {
    await put('.docker/config.json', JSON.stringify({ credsStore: 'test' }))
    await putHelper('test', 'echo hunter2')
    await assert.rejects(
      find('h'),
      (error) => error instanceof RegistryError && !String(error.stack).includes('hunter2'),
    )
  })

  it('are written so that only the owner reads them, and keep what else the file holds', async () => {
    await put(
      '.docker/config.json',
      JSON.stringify({ psFormat: 'x', auths: { other: { auth: 'eDp5' } } }),
      0o644,
    )
    const credentials: Credentials = { kind: 'password', username: 'robot$p+ci', password: 'a:b' }
    const stored = await storeCredentials('h:5000', credentials, { env, signal })
    const path = join(home, '.docker/config.json')
    assert.deepEqual(stored, { kind: 'file', path })
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.deepEqual(await find('h:5000'), credentials)
    assert.match(await readFile(path, 'utf8'), /psFormat[\s\S]*other/)
  })

  it('keep a config.json that is a link a link', async () => {
    await put('dotfiles/config.json', '{}')
    await mkdir(join(home, '.docker'))
    await symlink(join(home, 'dotfiles/config.json'), join(home, '.docker/config.json'))
    await storeCredentials('h', { kind: 'password', username: 'u', password: 'p' }, { env, signal })
    assert.match(await readFile(join(home, 'dotfiles/config.json'), 'utf8'), /"h"/)
  })

  it('of every kind are read as they were written', async () => {
    const all: readonly Credentials[] = [
      { kind: 'password', username: 'u', password: '' },
      { kind: 'password', username: 'robot$p+ci', password: ' :ü"\\\n' },
      { kind: 'identity-token', username: '', token: 'refresh' },
      { kind: 'identity-token', username: '00000000-0000', token: 'refresh' },
      { kind: 'registry-token', token: 'direct' },
    ]
    for (const credentials of all) {
      await storeCredentials('h', credentials, { env, signal })
      assert.deepEqual(await find('h'), credentials)
    }
  })

  it('are read from a file as editors of Windows write it', async () => {
    await put('.docker/config.json', `\uFEFF${auths('h', 'u')}`)
    assert.equal(await nameFor('h'), 'u')
  })

  it('name the file that cannot be read, or makes no sense', async () => {
    await mkdir(join(home, '.docker/config.json'), { recursive: true })
    await assert.rejects(find('h'), /cannot read .*\.docker\/config\.json \(EISDIR\)/)
    await rm(join(home, '.docker'), { recursive: true })
    for (const text of ['{', '[]', 'null', '\0']) {
      await put('.docker/config.json', text)
      await assert.rejects(find('h'), /\.docker\/config\.json is not (?:valid JSON|a JSON object)/)
    }
    for (const text of [
      '{"auths":null}',
      '{"auths":[]}',
      '{"auths":{"h":null}}',
      '{"auths":{"h":7}}',
    ]) {
      await put('.docker/config.json', text)
      assert.equal(await find('h'), undefined, text)
    }
  })

  it('are erased, once', async () => {
    await storeCredentials('h', { kind: 'password', username: 'u', password: 'p' }, { env, signal })
    assert.equal(await eraseCredentials('h', { env, signal }), true)
    assert.equal(await find('h'), undefined)
    assert.equal(await eraseCredentials('h', { env, signal }), false)
  })

  it('are given to the helper that the file names, not to the file', async () => {
    await put('.docker/config.json', JSON.stringify({ credsStore: 'test' }))
    await putHelper('test', `cat > "${home}/stored"`)
    const stored = await storeCredentials(
      'h',
      { kind: 'password', username: 'u', password: 'p' },
      { env, signal },
    )
    assert.deepEqual(stored, { kind: 'helper', name: 'test' })
    assert.deepEqual(JSON.parse(await readFile(join(home, 'stored'), 'utf8')), {
      ServerURL: 'h',
      Username: 'u',
      Secret: 'p',
    })
    assert.doesNotMatch(await readFile(join(home, '.docker/config.json'), 'utf8'), /auths/)
  })

  it('are taken out of the file when the helper has newer ones', async () => {
    const { auths: entries }: { auths: unknown } = JSON.parse(auths('h', 'old'))
    await put('.docker/config.json', JSON.stringify({ credsStore: 'test', auths: entries, x: 1 }))
    await putHelper('test', 'cat > /dev/null')
    await storeCredentials('h', { kind: 'password', username: 'u', password: 'p' }, { env, signal })
    const written: unknown = JSON.parse(await readFile(join(home, '.docker/config.json'), 'utf8'))
    assert.deepEqual(written, { credsStore: 'test', auths: {}, x: 1 })
  })
})
