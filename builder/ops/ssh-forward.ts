import { readFile, stat } from 'node:fs/promises'
import { reasonOf } from '../../snapshotter/index.ts'
import { BuildError } from '../errors.ts'
import { serveAgent } from './ssh-agent.ts'
import { readPrivateKey, type SshKey } from './ssh-key.ts'

/** As in BuildKit; a key has a few kilobytes. */
const KEY_BYTES_MAX = 100 * 1024

/** What `--ssh ID=PATH,...` names: the socket of an agent, or keys. */
export type SshSource =
  | { readonly kind: 'socket'; readonly path: string }
  | { readonly kind: 'keys'; readonly keys: readonly SshKey[] }

/**
 * Looks at the paths of one `--ssh`, and reads keys. Errors: `ssh-missing` for what is not there or no key,
 * a passphrase, and more than one socket.
 */
export async function readSshSource(id: string, paths: readonly string[]): Promise<SshSource> {
  const keys: SshKey[] = []
  for (const path of paths) {
    const refuse = (reason: string, cause?: unknown): BuildError =>
      new BuildError('ssh-missing', `could not use ${path} for ssh ${id}: ${reason}`, { cause })
    const info = await stat(path).catch((cause: unknown) => {
      throw refuse(reasonOf(cause), cause)
    })
    if (info.isSocket()) {
      if (paths.length > 1) throw refuse('the socket of an agent stands alone')
      return { kind: 'socket', path }
    }
    if (!info.isFile()) throw refuse('it is neither a socket nor a file')
    if (info.size > KEY_BYTES_MAX) throw refuse(`it has ${info.size} bytes, which is no key`)
    try {
      keys.push(readPrivateKey(await readFile(path)))
    } catch (cause) {
      throw refuse(reasonOf(cause), cause)
    }
  }
  return { kind: 'keys', keys }
}

/** The agents that steps can use, one for each `--ssh`. Keys are read and served when a step first needs them. */
export class SshForwards implements AsyncDisposable {
  readonly #paths: ReadonlyMap<string, readonly string[]>
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #socketPath: () => string
  readonly #open = new Map<string, Promise<{ readonly path: string } & Partial<AsyncDisposable>>>()

  /** `socketPath` names a new file in a directory that nobody else can enter. */
  constructor(
    ssh: readonly { readonly id: string; readonly paths: readonly string[] }[],
    env: Readonly<Record<string, string | undefined>>,
    socketPath: () => string,
  ) {
    this.#paths = new Map(ssh.map(({ id, paths }) => [id, paths]))
    this.#env = env
    this.#socketPath = socketPath
  }

  /** Socket of the agent with this id; undefined when there is none. Errors: `ssh-missing`. */
  async socket(id: string): Promise<string | undefined> {
    const paths = this.#paths.get(id)
    if (paths === undefined) return undefined
    const opening = this.#open.get(id) ?? this.#start(id, paths)
    this.#open.set(id, opening)
    return (await opening).path
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opening of this.#open.values()) {
      // One that did not start was reported to whoever asked for it.
      const agent = await opening.catch(() => undefined)
      await agent?.[Symbol.asyncDispose]?.()
    }
  }

  async #start(
    id: string,
    given: readonly string[],
  ): Promise<{ readonly path: string } & Partial<AsyncDisposable>> {
    const agent = this.#env['SSH_AUTH_SOCK']
    const paths = given.length === 0 && agent !== undefined && agent !== '' ? [agent] : given
    if (paths.length === 0) {
      throw new BuildError(
        'ssh-missing',
        `could not use ssh agent ${id}: SSH_AUTH_SOCK is not set; start an agent, or write --ssh ${id}=PATH with a socket or a key`,
      )
    }
    const source = await readSshSource(id, paths)
    return source.kind === 'socket' ? source : await serveAgent(source.keys, this.#socketPath())
  }
}
