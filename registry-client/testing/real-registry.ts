import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { TEST_CA } from './certificates.ts'
import { notInstalled, programPath, requireProgram, type TestProgram } from './program.ts'
import { TokenService } from './token-service.ts'

const START_TIMEOUT_MS = 20_000

/**
 * The one account of a registry started with `htpasswd`: a name and a password as hard as Harbor's
 * robots have them.
 */
export const HTPASSWD_ACCOUNT: { readonly username: string; readonly password: string } = {
  username: 'robot$lab+ci',
  password: 'p:ä ss"$w%rd',
}

export interface RealRegistryOptions {
  /** Only `HTPASSWD_ACCOUNT` may enter. */
  readonly htpasswd?: boolean
  /** Tokens of this service are taken; see `TokenService`. */
  readonly tokenRealm?: string
  /** Paths of PEM files; `clientCa` makes the registry want a client certificate. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientCa?: string }
}

/** Debian's `docker-registry`, running with storage of its own. */
export interface RealRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string
  /** Below it, `docker/registry/v2/…`. */
  readonly storagePath: string
}

export const REGISTRY: TestProgram = { name: 'docker-registry', debianPackage: 'docker-registry' }

/** For a suite's `before`: skips it where the registry is not installed. */
export function requireRealRegistry(context: Mocha.Context): void {
  requireProgram(context, REGISTRY)
}

/**
 * Starts a registry on a free loopback port with new storage; disposal stops it and removes the
 * storage.
 */
export async function startRealRegistry(options: RealRegistryOptions = {}): Promise<RealRegistry> {
  const program = programPath(REGISTRY)
  if (program === undefined) throw notInstalled(REGISTRY)
  const directory = await mkdtemp(join(tmpdir(), 'tsbuild-registry-'))
  const storagePath = join(directory, 'storage')
  const configPath = join(directory, 'config.json')
  try {
    // JSON is YAML.
    await writeFile(
      configPath,
      JSON.stringify(await configuration(directory, storagePath, options)),
    )
    const child = spawn(program, ['serve', configPath], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env['PATH'] },
    })
    const stop = (): boolean => child.kill('SIGKILL')
    process.once('exit', stop)
    const host = await listeningHost(child)
    return {
      host,
      storagePath,
      async [Symbol.asyncDispose]() {
        process.off('exit', stop)
        const exited = child.exitCode === null ? once(child, 'exit') : undefined
        child.kill('SIGTERM')
        await exited
        await rm(directory, { recursive: true, force: true })
      },
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

async function configuration(
  directory: string,
  storagePath: string,
  options: RealRegistryOptions,
): Promise<object> {
  const { tls } = options
  const htpasswdPath = join(directory, 'htpasswd')
  if (options.htpasswd === true)
    await writeFile(
      htpasswdPath,
      `${HTPASSWD_ACCOUNT.username}:${await bcrypt(HTPASSWD_ACCOUNT.password)}\n`,
    )
  const tokenCaPath = join(directory, 'token-ca.pem')
  if (options.tokenRealm !== undefined) await writeFile(tokenCaPath, TEST_CA)
  return {
    version: '0.1',
    log: { level: 'info', formatter: 'json', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: storagePath }, delete: { enabled: true } },
    http: {
      addr: '127.0.0.1:0',
      ...(tls === undefined
        ? {}
        : {
            tls: {
              certificate: tls.certificate,
              key: tls.key,
              ...(tls.clientCa === undefined ? {} : { clientcas: [tls.clientCa] }),
            },
          }),
    },
    ...(options.htpasswd === true
      ? { auth: { htpasswd: { realm: 'lab', path: htpasswdPath } } }
      : {}),
    ...(options.tokenRealm === undefined
      ? {}
      : {
          auth: {
            token: {
              realm: options.tokenRealm,
              service: TokenService.service,
              issuer: TokenService.issuer,
              rootcertbundle: tokenCaPath,
            },
          },
        }),
  }
}

/**
 * The registry wants bcrypt; the system's crypt(3), reached through the perl that every Debian has,
 * can make it.
 */
async function bcrypt(password: string): Promise<string> {
  const salt = '$2b$04$abcdefghijklmnopqrstuu'
  const child = spawn('perl', ['-e', 'print crypt($ARGV[0], $ARGV[1])', password, salt], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let hash = ''
  for await (const chunk of child.stdout) hash += String(chunk)
  if (!hash.startsWith('$2b$'))
    throw new Error('could not make an htpasswd file: perl made no bcrypt hash')
  return hash
}

/**
 * The log says where it listens: port 0 leaves the choice to the kernel, so no other process can
 * come between.
 */
async function listeningHost(child: ChildProcess): Promise<string> {
  const { stderr } = child
  if (stderr === null) throw new Error(`could not start ${REGISTRY.name}: no log to read`)
  const timer = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS)
  const log: string[] = []
  const lines = createInterface({ input: stderr })
  try {
    for await (const line of lines) {
      log.push(line)
      const port = /listening on (?:127\.0\.0\.1|\[::\]):(\d+)/.exec(line)?.[1]
      if (port !== undefined) return `127.0.0.1:${port}`
    }
  } finally {
    clearTimeout(timer)
    lines.close()
    // Its log goes on; unread, the pipe would fill and block it.
    stderr.resume()
  }
  throw new Error(`could not start ${REGISTRY.name}: ${log.slice(-3).join(' | ').slice(0, 500)}`)
}
