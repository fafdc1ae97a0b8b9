import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { lstat, mkdir, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { cleanBelowRoot } from '../context/clean-path.ts'
import { CopyError } from './copy-errors.ts'
import { redactUrl } from './http.ts'

/** What of a repository is wanted (features rows C7, C8, D118-D120). */
export interface GitRequest {
  readonly remote: string
  /** Branch, tag, full commit or ref name; undefined: the branch that HEAD of the remote is. */
  readonly ref: string | undefined
  readonly subdir: string | undefined
  /** Beginning of the commit's id (or the annotated tag's) that the ref must lead to. */
  readonly checksum: string | undefined
  readonly keepGitDir: boolean
  readonly submodules: boolean
}

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

export interface GitCheckout {
  /** Host directory with the files. */
  readonly root: string
  readonly commit: string
}

const PROTOCOLS = ['http', 'https', 'ssh', 'git']
const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/
/** Characters that git-check-ref-format(1) forbids, and what could be read as an option or a range. */
const BAD_REF = /^[-/.]|[\0-\x20\x7f~^:?*[\\]|\.\.|@\{|\/$|\.lock$/
const PASSED_ENV = [
  'PATH',
  'SSH_AUTH_SOCK',
  ...['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap((name) => [
    name,
    name.toLowerCase(),
  ]),
]

/**
 * Checks a repository out: one commit, with its submodules, without history. git runs with an environment of its own: no
 * configuration of the machine or user, no hooks, no prompts, only network protocols. `git-missing` when there is no git
 * program; `git-failed` for everything else, with what git said.
 */
export async function checkoutGit(request: GitRequest, options: GitOptions): Promise<GitCheckout> {
  checkRequest(request)
  const root = join(options.workDirectory, `git-${randomUUID()}`)
  await mkdir(root, { mode: 0o755 })
  const git = new Git(root, request, options)
  const { commit, fetched } = await resolveRef(git, request)
  await git.run(['init', ...(commit.length === 64 ? ['--object-format=sha256'] : [])])
  await git.run(['remote', 'add', 'origin', request.remote])
  await fetchCommit(git, fetched, commit)
  await verifyChecksum(git, request, commit)
  await git.run(['checkout', '--detach', '--force', commit, '--'])
  if (request.submodules) {
    await git.run(['submodule', 'update', '--init', '--recursive', '--depth=1'])
  }
  const subdir = cleanBelowRoot(request.subdir ?? '')
  if (!request.keepGitDir || subdir !== '') {
    await rm(join(root, '.git'), { recursive: true, force: true })
  } else if (request.remote.includes('@')) {
    await git.run(['remote', 'set-url', 'origin', redactUrl(request.remote)])
  }
  return { root: await enterSubdir(root, subdir), commit }
}

function checkRequest({ remote, ref, checksum }: GitRequest): void {
  if (remote.startsWith('-') || /[\0-\x1f]/.test(remote) || remote.includes('::')) {
    throw new CopyError(
      'git-failed',
      `could not use ${redactUrl(remote)}: it is no URL of a repository`,
    )
  }
  if (ref !== undefined && BAD_REF.test(ref)) {
    throw new CopyError(
      'git-failed',
      `could not use ref ${JSON.stringify(ref)} of ${redactUrl(remote)}: it is no name of a ref`,
    )
  }
  if (checksum !== undefined && !/^[0-9a-fA-F]+$/.test(checksum)) {
    throw new CopyError(
      'git-failed',
      `invalid checksum ${checksum} for Git URL, expected hex commit hash`,
    )
  }
}

interface ResolvedRef {
  /** Id of the commit, or of the annotated tag. */
  readonly commit: string
  /** What to fetch. */
  readonly fetched: string
}

/** Finds the commit of a ref on the remote; a branch is preferred to a tag of the same name, as git checkout does. */
async function resolveRef(git: Git, { remote, ref }: GitRequest): Promise<ResolvedRef> {
  if (ref !== undefined && COMMIT.test(ref)) {
    return { commit: ref, fetched: ref }
  }
  const name = ref ?? (await defaultBranch(git, remote))
  const listed = await git.run(['ls-remote', '--', remote, name, `${name}^{}`])
  const ids = new Map(
    listed.split('\n').map((line): [string, string] => {
      const [id = '', refName = ''] = line.split('\t')
      return [refName, id]
    }),
  )
  const candidates = [
    `refs/${name.replace(/^refs\//, '')}`,
    `refs/heads/${name.replace(/^refs\/heads\//, '')}`,
    `refs/tags/${name.replace(/^refs\/tags\//, '')}`,
  ]
  const fetched = candidates.find((candidate) => ids.has(candidate))
  const commit = fetched === undefined ? undefined : ids.get(fetched)
  if (fetched === undefined || commit === undefined || !COMMIT.test(commit)) {
    throw new CopyError(
      'git-failed',
      `could not check out ${redactUrl(remote)}: repository does not contain ref ${name}`,
    )
  }
  return { commit, fetched }
}

async function defaultBranch(git: Git, remote: string): Promise<string> {
  const listed = await git.run(['ls-remote', '--symref', '--', remote, 'HEAD'])
  const branch = /^ref: (refs\/[^\t\n]+)\tHEAD$/m.exec(listed)?.[1]
  if (branch === undefined || BAD_REF.test(branch)) {
    throw new CopyError(
      'git-failed',
      `could not check out ${redactUrl(remote)}: its HEAD is no branch, name a ref`,
    )
  }
  return branch
}

/** One commit deep. Servers that give no commits by their id give all branches and tags. */
async function fetchCommit(git: Git, fetched: string, commit: string): Promise<void> {
  try {
    await git.run(['fetch', '--depth=1', '--no-tags', '--', 'origin', fetched])
  } catch (error) {
    if (!(error instanceof CopyError) || fetched !== commit) {
      throw error
    }
    await git.run(['fetch', '--tags', '--', 'origin', '+refs/heads/*:refs/remotes/origin/*'])
  }
  // The ref may have moved since it was looked up: what is built is what was looked up, or nothing.
  await git.run(['cat-file', '-e', `${commit}^{commit}`])
}

async function verifyChecksum(
  git: Git,
  { checksum, remote }: GitRequest,
  commit: string,
): Promise<void> {
  if (checksum === undefined) {
    return
  }
  const wanted = checksum.toLowerCase()
  const peeled = (await git.run(['rev-parse', `${commit}^{commit}`])).trim()
  if (!commit.startsWith(wanted) && !peeled.startsWith(wanted)) {
    throw new CopyError(
      'checksum-mismatch',
      `could not use ${redactUrl(remote)}: expected checksum to match ${checksum}, got ${peeled}`,
    )
  }
}

/** A subdirectory must be a real one: a symlink could lead out of the repository. */
async function enterSubdir(root: string, subdir: string): Promise<string> {
  let current = root
  for (const name of subdir === '' ? [] : subdir.split('/')) {
    current = join(current, name)
    const isDirectory = await lstat(current).then(
      (found) => found.isDirectory(),
      () => false,
    )
    if (!isDirectory) {
      throw new CopyError(
        'git-failed',
        `could not use subdirectory ${subdir} of the repository: not found, or not a directory`,
      )
    }
  }
  return current
}

class Git {
  readonly #directory: string
  readonly #remote: string
  readonly #signal: AbortSignal
  readonly #env: Record<string, string>

  constructor(directory: string, request: GitRequest, options: GitOptions) {
    this.#directory = directory
    this.#remote = request.remote
    this.#signal = options.signal
    this.#env = environment(request.remote, options)
  }

  /** What git prints; `git-failed` with its last lines when it fails. */
  async run(args: readonly string[]): Promise<string> {
    const child = this.#spawn([
      '-c',
      'core.hooksPath=/dev/null',
      '-c',
      'init.defaultBranch=master',
      ...args,
    ])
    const closed = once(child, 'close')
    const output = Promise.all([
      child.stdout === null ? '' : text(child.stdout),
      child.stderr === null ? '' : text(child.stderr),
    ])
    let code: unknown
    try {
      const [status]: unknown[] = await closed
      code = status
    } catch (error) {
      this.#signal.throwIfAborted()
      throw new CopyError(
        'git-missing',
        `could not run git for ${redactUrl(this.#remote)}: is it installed?`,
        { cause: error },
      )
    }
    const [stdout, stderr] = await output
    this.#signal.throwIfAborted()
    if (code !== 0) {
      const said = stderr.trim().split('\n').slice(-5).map(redactUrl).join('\n')
      throw new CopyError(
        'git-failed',
        `could not ${args[0]} ${redactUrl(this.#remote)}: git failed: ${said}`,
      )
    }
    return stdout
  }

  #spawn(args: readonly string[]): ChildProcess {
    // git gives files the mode that the umask leaves; images must not depend on the user's.
    const umask = process.umask(0o022)
    try {
      return spawn('git', args, {
        cwd: this.#directory,
        env: this.#env,
        stdio: ['ignore', 'pipe', 'pipe'],
        signal: this.#signal,
      })
    } finally {
      process.umask(umask)
    }
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
