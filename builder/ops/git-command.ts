import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { errnoOf } from '../../snapshotter/index.ts'
import { CopyError } from './copy-errors.ts'
import { redactUrl } from './http.ts'

export interface GitOptions {
  /** Directory for the checkout; a new one is made in it. */
  readonly workDirectory: string
  /** PATH, proxies and SSH_AUTH_SOCK are taken from it, nothing else. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Value of an Authorization header for the remote's host (features row D121). */
  readonly authorization: string | undefined
  readonly signal: AbortSignal
  /** Protocols that git may speak, for submodules too; tests add `file`. */
  readonly protocols?: readonly string[]
}

const PROTOCOLS = ['http', 'https', 'ssh', 'git']
const PASSED_ENV = [
  'PATH',
  'SSH_AUTH_SOCK',
  ...['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap((name) => [
    name,
    name.toLowerCase(),
  ]),
]

/**
 * Runs git in a directory, with an environment of its own: no configuration of the machine or user, no hooks, no prompts,
 * only network protocols.
 */
export class Git {
  readonly #directory: string
  readonly #remote: string
  readonly #signal: AbortSignal
  readonly #env: Record<string, string>

  constructor(directory: string, remote: string, options: GitOptions) {
    this.#directory = directory
    this.#remote = remote
    this.#signal = options.signal
    this.#env = environment(remote, options)
  }

  /**
   * What git prints; `git-failed` with its last lines when it fails. When the signal is aborted, git and whatever it started
   * have ended before this rejects.
   */
  async run(args: readonly string[]): Promise<string> {
    this.#signal.throwIfAborted()
    const child = this.#spawn([
      '-c',
      'core.hooksPath=/dev/null',
      '-c',
      'init.defaultBranch=master',
      ...args,
    ])
    const end = (): void => killGroup(child)
    this.#signal.addEventListener('abort', end)
    try {
      const [status, stdout, stderr] = await this.#outcome(child)
      this.#signal.throwIfAborted()
      if (status !== 0) {
        const said = stderr.trim().split(/\r?\n/).slice(-5).map(redactUrl).join('\n')
        throw new CopyError(
          'git-failed',
          `could not ${args[0] === 'ls-remote' ? 'list the refs of' : args[0]} ${redactUrl(this.#remote)}: git failed: ${said}`,
        )
      }
      return stdout
    } finally {
      this.#signal.removeEventListener('abort', end)
    }
  }

  /** Status, output and error output. */
  async #outcome(
    child: ChildProcessByStdio<null, Readable, Readable>,
  ): Promise<readonly [unknown, string, string]> {
    const output = Promise.all([text(child.stdout), text(child.stderr)])
    // A child that could not be started may have no streams; why, its end tells.
    output.catch(() => undefined)
    const [status]: unknown[] = await once(child, 'close').catch((error: unknown) => {
      throw new CopyError(
        'git-missing',
        `could not run git for ${redactUrl(this.#remote)}: is it installed?`,
        { cause: error },
      )
    })
    const [stdout, stderr] = await output
    return [status, stdout, stderr]
  }

  /** In a process group of its own: the helper that speaks to the server would outlive git. */
  #spawn(args: readonly string[]): ChildProcessByStdio<null, Readable, Readable> {
    // git gives files the mode that the umask leaves; images must not depend on the user's.
    const umask = process.umask(0o022)
    try {
      return spawn('git', args, {
        cwd: this.#directory,
        env: this.#env,
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      })
    } finally {
      process.umask(umask)
    }
  }
}

/** What it has made goes with the work directory. */
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error
  }
}

/**
 * A URL without the login in it, and the login as an Authorization header: git keeps URLs in what it checks out, those of
 * submodules beside it too (CVE-2023-26054), and shows them in its arguments.
 */
export function splitLogin(remote: string): {
  readonly remote: string
  readonly authorization: string | undefined
} {
  const url = URL.parse(remote)
  const hasLogin = url !== null && `${url.username}${url.password}` !== ''
  if (!hasLogin || !/^https?:$/.test(url.protocol)) return { remote, authorization: undefined }
  const login = [url.username, url.password].map(decoded).join(':')
  url.username = ''
  url.password = ''
  return { remote: url.href, authorization: `Basic ${Buffer.from(login).toString('base64')}` }
}

/** As it stands where its percent signs mean nothing. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function environment(remote: string, options: GitOptions): Record<string, string> {
  const knownHosts = join(options.env['HOME'] ?? homedir(), '.ssh', 'known_hosts')
  const env: Record<string, string> = {
    LC_ALL: 'C',
    HOME: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TEMPLATE_DIR: '',
    // The work directory may lie inside some repository, whose configuration is not ours.
    GIT_CEILING_DIRECTORIES: options.workDirectory,
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: (options.protocols ?? PROTOCOLS).join(':'),
    GIT_SSH_COMMAND: `ssh -F /dev/null -o BatchMode=yes -o UserKnownHostsFile=${shellQuote(knownHosts)}`,
  }
  for (const name of PASSED_ENV) {
    const value = options.env[name]
    if (value !== undefined) {
      env[name] = value
    }
  }
  const origin = URL.parse(remote)?.origin
  if (options.authorization !== undefined && origin?.startsWith('http') === true) {
    // By environment, since arguments of processes can be read by everybody; for this host only.
    env['GIT_CONFIG_COUNT'] = '1'
    env['GIT_CONFIG_KEY_0'] = `http.${origin}/.extraHeader`
    env['GIT_CONFIG_VALUE_0'] = `Authorization: ${options.authorization}`
  }
  return env
}

function shellQuote(value: string): string {
  return `'${value.replaceAll("'", "'\\''")}'`
}
