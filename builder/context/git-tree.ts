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
import { SingleFlight } from '../solver/single-flight.ts'
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

/** What a repository is checked out with. */
interface GitWorld {
  readonly description: string
  readonly options: Omit<GitOptions, 'signal'>
  readonly kernel: GitTreeParts['kernel']
}

/**
 * A repository for contexts and for ADD (features rows C7, D118). Its commit is looked up when it is opened, the checkout is
 * made when somebody wants to see a file: a step that the cache has needs none.
 */
export class GitRepository {
  /** Names the contents of its trees. */
  readonly identity: string
  readonly #request: GitRequest
  readonly #resolved: ResolvedGit
  readonly #world: GitWorld
  readonly #checkouts = new SingleFlight<GitCheckout>()

  private constructor(request: GitRequest, resolved: ResolvedGit, world: GitWorld) {
    const { subdir, keepGitDir, submodules, mtime } = request
    this.#request = request
    this.#resolved = resolved
    this.#world = world
    const times = mtime === 'commit' ? [mtime] : []
    // Of two refs that lead to one commit, a kept `.git` has the one that was asked for.
    const refs = keepGitDir ? [resolved.fetched] : []
    const { commit } = resolved
    this.identity = JSON.stringify([commit, subdir, keepGitDir, submodules, ...times, ...refs])
  }

  /** Looks the ref up. Fails as `resolveGit` does. */
  static async open(
    request: GitRequest,
    description: string,
    parts: GitTreeParts,
  ): Promise<GitRepository> {
    const { kernel, workDirectory, readSecret, signal, protocols } = parts
    const env = await withAgent(request.remote, parts)
    const authorization = await gitAuthorization(request.remote, readSecret)
    const own = protocols === undefined ? {} : { protocols }
    const options = { workDirectory, env, authorization, ...own }
    const resolved = await resolveGit(request, { ...options, signal })
    return new GitRepository(request, resolved, { options, description, kernel })
  }

  /** The files on the host, and the time of the commit; made once. Fails as `checkoutGit` does. */
  async checkout(signal: AbortSignal): Promise<GitCheckout> {
    const options = { ...this.#world.options, signal }
    return await this.#checkouts.run('', () => checkoutGit(this.#request, options, this.#resolved))
  }

  /** Its files for one who stops with `signal`. */
  tree(signal: AbortSignal): SourceTree {
    const { description, kernel } = this.#world
    const open = async (): Promise<DirectoryTree> => {
      const { root } = await this.checkout(signal)
      return new DirectoryTree({
        ...{ kernel, root, description, signal },
        ignore: compileMatcher([]),
        ownership: 'root',
        statCache: undefined,
      })
    }
    return new GitTree(description, this.identity, open)
  }
}

class GitTree implements SourceTree {
  readonly description: string
  readonly identity: string
  readonly #open: () => Promise<DirectoryTree>
  #opening: Promise<DirectoryTree> | undefined
  #opened: DirectoryTree | undefined

  constructor(description: string, identity: string, open: () => Promise<DirectoryTree>) {
    this.description = description
    this.identity = identity
    this.#open = open
  }

  async lookup(path: LayerPath): Promise<TreeEntry | undefined> {
    return await (await this.#tree()).lookup(path)
  }

  async list(path: LayerPath): Promise<readonly TreeEntry[]> {
    return await (await this.#tree()).list(path)
  }

  async *walk(path: LayerPath): AsyncGenerator<readonly TreeEntry[]> {
    yield* (await this.#tree()).walk(path)
  }

  async fileDigests(files: readonly TreeFile[]): Promise<readonly Digest[]> {
    return await (await this.#tree()).fileDigests(files)
  }

  /** A commit never changes. */
  stateOf(): Promise<Digest> {
    return Promise.resolve(digestOf(this.identity))
  }

  source(place: TreePlace): PackSource {
    if (this.#opened === undefined) {
      throw new TypeError(`${place.path} was not looked up in ${this.description}`)
    }
    return this.#opened.source(place)
  }

  async #tree(): Promise<DirectoryTree> {
    this.#opening ??= this.#open()
    this.#opened = await this.#opening
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
