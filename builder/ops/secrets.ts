import { readFile } from 'node:fs/promises'
import type { BuildRequest, SecretSource } from '../request.ts'
import { BuildError } from '../errors.ts'
import { SshForwards } from './ssh-forward.ts'

/** As BuildKit; a secret is a token or a key, not a data set (features row D72). */
const SECRET_BYTES_MAX = 500 * 1024

/**
 * The values of `--secret` and the agents of `--ssh`. Values are read when a step needs them and kept nowhere;
 * `socketPath` names a new file for the socket of an agent.
 */
export class Secrets implements AsyncDisposable {
  readonly #secrets: ReadonlyMap<string, SecretSource>
  readonly #agents: SshForwards
  readonly #env: Readonly<Record<string, string | undefined>>

  constructor(
    request: Pick<BuildRequest, 'secrets' | 'ssh'>,
    env: Readonly<Record<string, string | undefined>>,
    socketPath: () => string,
  ) {
    this.#secrets = new Map(request.secrets.map((secret) => [secret.id, secret]))
    this.#agents = new SshForwards(request.ssh, env, socketPath)
    this.#env = env
  }

  /** The value; undefined when no secret has the id. Errors: `secret-missing` when it was given but cannot be read. */
  async value(id: string): Promise<Uint8Array | undefined> {
    const source = this.#secrets.get(id)?.source
    if (source === undefined) {
      return undefined
    }
    const bytes =
      source.kind === 'env'
        ? Buffer.from(this.#env[source.name] ?? '') // as BuildKit does: pipelines pass names that only some jobs set
        : await readSecret(id, source.path)
    if (bytes.byteLength > SECRET_BYTES_MAX) {
      throw new BuildError(
        'secret-missing',
        `could not use secret ${id}: it has ${bytes.byteLength} bytes, the most is ${SECRET_BYTES_MAX}`,
      )
    }
    return bytes
  }

  /** Socket of the agent with this id; undefined when there is none. Errors: `ssh-missing`. */
  async agentSocket(id: string): Promise<string | undefined> {
    return await this.#agents.socket(id)
  }

  /** Ends the agents that serve keys. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agents[Symbol.asyncDispose]()
  }
}

async function readSecret(id: string, path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw new BuildError('secret-missing', `could not read secret ${id}: ${messageOf(cause)}`, {
      cause,
    })
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
