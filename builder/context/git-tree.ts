import { type Digest, digestOf } from '../../registry-client/oci/index.ts'
import type { Kernel, LayerPath, PackSource } from '../../snapshotter/index.ts'
import type { SourceTree, TreeEntry, TreeFile, TreePlace } from '../ops/copy-source.ts'
import {
  checkoutGit,
  type GitCheckout,
  type GitRequest,
  type ResolvedGit,
  resolveGit,
} from '../ops/git.ts'
import type { GitOptions } from '../ops/git-command.ts'
import { DirectoryTree } from './directory-tree.ts'
import { compileMatcher } from './ignore.ts'
import { gitAuthorization, type SecretReader } from './remote-authorization.ts'

export interface GitTreeParts {
  readonly kernel: Pick<Kernel, 'listDirectories' | 'listChildren' | 'hashFiles'>
  readonly workDirectory: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly readSecret: SecretReader
  /** Socket of the agent that `--ssh default` names; undefined: the one of the environment (features rows C7, C34). */
  readonly sshAgent: () => Promise<string | undefined>
  readonly signal: AbortSignal
  /** Protocols that git may speak, when not the usual ones. */
  readonly protocols?: readonly string[]
}

/**
 * A repository as a tree; for contexts and for ADD (features rows C7, D118). Its commit is looked up when it is opened, the
 * checkout is made when somebody wants to see a file: a step that the cache has needs none.
 */
export class GitTree implements SourceTree {
  readonly description: string
  readonly identity: string
  readonly #request: GitRequest
  readonly #options: GitOptions
  readonly #resolved: ResolvedGit
  readonly #kernel: GitTreeParts['kernel']
  #opening: Promise<Opened> | undefined
  #opened: Opened | undefined

  private constructor(
    request: GitRequest,
    resolved: ResolvedGit,
    world: {
      readonly options: GitOptions
      readonly description: string
      readonly kernel: GitTreeParts['kernel']
    },
  ) {
    const { subdir, keepGitDir, submodules, mtime } = request
    this.#request = request
    this.#resolved = resolved
    this.#options = world.options
    this.#kernel = world.kernel
    this.description = world.description
    const times = mtime === 'commit' ? [mtime] : []
    this.identity = JSON.stringify([resolved.commit, subdir, keepGitDir, submodules, ...times])
  }

  /** Looks the ref up. Fails as `resolveGit` does. */
  static async open(
    request: GitRequest,
    description: string,
    parts: GitTreeParts,
  ): Promise<GitTree> {
    const { kernel, workDirectory, readSecret, signal, protocols } = parts
    const env = await withAgent(request.remote, parts)
    const authorization = await gitAuthorization(request.remote, readSecret)
    const own = protocols === undefined ? {} : { protocols }
    const options = { workDirectory, env, authorization, signal, ...own }
    const resolved = await resolveGit(request, options)
    return new GitTree(request, resolved, { options, description, kernel })
  }

  /** The files on the host, and the time of the commit. */
  async checkout(): Promise<GitCheckout> {
    return (await this.#open()).checkout
  }

  async lookup(path: LayerPath): Promise<TreeEntry | undefined> {
    return await (await this.#open()).tree.lookup(path)
  }

  async list(path: LayerPath): Promise<readonly TreeEntry[]> {
    return await (await this.#open()).tree.list(path)
  }

  async *walk(path: LayerPath): AsyncGenerator<readonly TreeEntry[]> {
    yield* (await this.#open()).tree.walk(path)
  }

  async fileDigests(files: readonly TreeFile[]): Promise<readonly Digest[]> {
    return await (await this.#open()).tree.fileDigests(files)
  }

  /** A commit never changes. */
  stateOf(): Promise<Digest> {
    return Promise.resolve(digestOf(this.identity))
  }

  source(place: TreePlace): PackSource {
    if (this.#opened === undefined) {
      throw new TypeError(`${place.path} was not looked up in ${this.description}`)
    }
    return this.#opened.tree.source(place)
  }

  #open(): Promise<Opened> {
    this.#opening ??= this.#checkOut()
    return this.#opening
  }

  async #checkOut(): Promise<Opened> {
    const checkout = await checkoutGit(this.#request, this.#options, this.#resolved)
    const tree = new DirectoryTree({
      kernel: this.#kernel,
      root: checkout.root,
      description: this.description,
      ignore: compileMatcher([]),
      ownership: 'root',
      statCache: undefined,
      signal: this.#options.signal,
    })
    this.#opened = { checkout, tree }
    return this.#opened
  }
}

async function withAgent(
  remote: string,
  { env, sshAgent }: Pick<GitTreeParts, 'env' | 'sshAgent'>,
): Promise<GitTreeParts['env']> {
  const isSsh = remote.startsWith('ssh://') || !remote.includes('://')
  const socket = isSsh ? await sshAgent() : undefined
  return socket === undefined ? env : { ...env, SSH_AUTH_SOCK: socket }
}

interface Opened {
  readonly checkout: GitCheckout
  readonly tree: DirectoryTree
}
