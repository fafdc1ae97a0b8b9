import { randomUUID } from 'node:crypto'
import { lstat, lutimes, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cleanBelowRoot } from '../context/clean-path.ts'
import { CopyError } from './copy-errors.ts'
import { Git, type GitOptions, splitLogin } from './git-command.ts'
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
  /** `commit`: files get the time of the commit (features row D119). */
  readonly mtime: 'checkout' | 'commit'
  /** A checksum that is a whole commit is fetched itself, whatever the ref leads to. */
  readonly fetchByCommit: boolean
}

export interface GitCheckout {
  /** Host directory with the files. */
  readonly root: string
  readonly commit: string
  /** When it was committed. */
  readonly timeSec: number
}

const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/
/** Characters that git-check-ref-format(1) forbids, and what could be read as an option or a range. */
const BAD_REF = /^[-/.]|[\0-\x20\x7f~^:?*[\\]|\.\.|@\{|\/$|\.lock$/
/** A ref that was looked up: what a checkout will hold, known before it is made. */
export interface ResolvedGit {
  /** Id of the commit, or of the annotated tag. */
  readonly commit: string
  /** What to fetch. */
  readonly fetched: string
}

/**
 * Finds the commit that is wanted, and that it has the checksum as far as that can be told without a checkout. A full
 * commit needs no network. `git-missing` when there is no git program; `checksum-mismatch`; `git-failed` for everything
 * else, with what git said.
 */
export async function resolveGit(
  asked: GitRequest,
  askedOptions: GitOptions,
): Promise<ResolvedGit> {
  checkRequest(asked)
  const { request, options } = loggedIn(asked, askedOptions)
  const { ref, checksum } = request
  const id = request.fetchByCommit && COMMIT.test(checksum ?? '') ? checksum : ref
  if (id !== undefined && COMMIT.test(id)) {
    return { commit: id, fetched: id }
  }
  return await resolveRef(new Git(options.workDirectory, request.remote, options), request)
}

/** Checks a repository out: one commit, with its submodules, without history. Fails as `resolveGit` does. */
export async function checkoutGit(
  asked: GitRequest,
  askedOptions: GitOptions,
  resolved?: ResolvedGit,
): Promise<GitCheckout> {
  const { commit, fetched } = resolved ?? (await resolveGit(asked, askedOptions))
  const { request, options } = loggedIn(asked, askedOptions)
  const root = join(options.workDirectory, `git-${randomUUID()}`)
  await mkdir(root, { mode: 0o755 })
  const git = new Git(root, request.remote, options)
  await git.run(['init', ...(commit.length === 64 ? ['--object-format=sha256'] : [])])
  await git.run(['remote', 'add', 'origin', request.remote])
  await fetchCommit(git, fetched, commit)
  await verifyChecksum(git, request, commit)
  await git.run(['checkout', '--detach', '--force', commit, '--'])
  if (request.submodules) {
    await runShallow(git, ['submodule', 'update', '--init', '--recursive'])
  }
  const timeSec = Number(await git.run(['log', '-1', '--format=%ct', commit, '--']))
  if (request.mtime === 'commit') {
    await setTimes(root, timeSec)
  }
  const subdir = cleanBelowRoot(request.subdir ?? '')
  if (!request.keepGitDir || subdir !== '') {
    await rm(join(root, '.git'), { recursive: true, force: true })
  } else {
    await settleGitDirectory(git, root, { remote: request.remote, commit, fetched })
  }
  return { root: await enterSubdir(root, subdir), commit, timeSec }
}

/**
 * What a kept `.git` shows: the ref that was asked for under its name, so that `git describe` knows it, and nothing of when
 * and with which login it was fetched.
 */
async function settleGitDirectory(
  git: Git,
  root: string,
  { remote, commit, fetched }: ResolvedGit & Pick<GitRequest, 'remote'>,
): Promise<void> {
  if (fetched !== commit) await git.run(['update-ref', fetched, commit])
  await git.run(['reflog', 'expire', '--all', '--expire=now'])
  await rm(join(root, '.git', 'FETCH_HEAD'), { force: true })
  if (remote.includes('@')) await git.run(['remote', 'set-url', 'origin', redactUrl(remote)])
}

/** Gives every file the time of the commit (features row D119, `mtime=commit`); links are not followed. */
async function setTimes(directory: string, seconds: number): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory() && entry.name !== '.git') {
      await setTimes(path, seconds)
    }
    await lutimes(path, seconds, seconds)
  }
}

/** A login that was given for the host goes before that of the URL. */
function loggedIn(
  request: GitRequest,
  options: GitOptions,
): { readonly request: GitRequest; readonly options: GitOptions } {
  const { remote, authorization } = splitLogin(request.remote)
  return {
    request: { ...request, remote },
    options: { ...options, authorization: options.authorization ?? authorization },
  }
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

/** Finds the commit of a ref on the remote; a branch is preferred to a tag of the same name, as git checkout does. */
async function resolveRef(git: Git, { remote, ref, checksum }: GitRequest): Promise<ResolvedGit> {
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
  const peeled = ids.get(`${fetched}^{}`) ?? commit
  if (checksum !== undefined && ![commit, peeled].some((id) => hasChecksum(id, checksum))) {
    throw checksumMismatch(remote, checksum, peeled)
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
    await runShallow(git, ['fetch', '--no-tags'], ['--', 'origin', fetched])
  } catch (error) {
    if (!(error instanceof CopyError) || fetched !== commit) {
      throw error
    }
    await git.run(['fetch', '--tags', '--', 'origin', '+refs/heads/*:refs/remotes/origin/*'])
  }
  // The ref may have moved since it was looked up: what is built is what was looked up, or nothing.
  await git.run(['cat-file', '-e', `${commit}^{commit}`])
}

/** Without history. Servers that only hand out files ("dumb" http) cannot leave it out, and are asked for all of it. */
async function runShallow(
  git: Git,
  args: readonly string[],
  operands: readonly string[] = [],
): Promise<void> {
  try {
    await git.run([...args, '--depth=1', ...operands])
  } catch (error) {
    const isDumb =
      error instanceof CopyError && /does not support (?:shallow|--depth)/.test(error.message)
    if (!isDumb) throw error
    await git.run([...args, ...operands])
  }
}

async function verifyChecksum(
  git: Git,
  { checksum, remote }: GitRequest,
  commit: string,
): Promise<void> {
  if (checksum === undefined) {
    return
  }
  const peeled = (await git.run(['rev-parse', `${commit}^{commit}`])).trim()
  if (!hasChecksum(commit, checksum) && !hasChecksum(peeled, checksum)) {
    throw checksumMismatch(remote, checksum, peeled)
  }
}

function hasChecksum(id: string, checksum: string): boolean {
  return id.startsWith(checksum.toLowerCase())
}

function checksumMismatch(remote: string, checksum: string, found: string): CopyError {
  return new CopyError(
    'checksum-mismatch',
    `could not use ${redactUrl(remote)}: expected checksum to match ${checksum}, got ${found}`,
  )
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
