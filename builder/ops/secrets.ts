import { readFile, stat } from 'node:fs/promises'
import type { BuildRequest, SecretSource } from '../request.ts'
import { BuildError } from '../errors.ts'

/** As BuildKit; a secret is a token or a key, not a data set (features row D72). */
const SECRET_BYTES_MAX = 500 * 1024

/** The values of `--secret` and the agents of `--ssh`. Values are read when a step needs them and kept nowhere. */
export class Secrets {
  readonly #secrets: ReadonlyMap<string, SecretSource>
  readonly #agents: ReadonlyMap<string, readonly string[]>
  readonly #env: Readonly<Record<string, string | undefined>>

  constructor(
    request: Pick<BuildRequest, 'secrets' | 'ssh'>,
    env: Readonly<Record<string, string | undefined>>,
  ) {
    this.#secrets = new Map(request.secrets.map((secret) => [secret.id, secret]))
    this.#agents = new Map(request.ssh.map((agent) => [agent.id, agent.paths]))
    this.#env = env
  }

  /** The value; undefined when no secret has the id. Errors: `secret-missing` when it was given but cannot be read. */
  async value(id: string): Promise<Uint8Array | undefined> {
    const source = this.#secrets.get(id)?.source
    if (source === undefined) {
      return undefined
    }
    const bytes =
      source.kind === 'env' ? this.#fromEnv(id, source.name) : await readSecret(id, source.path)
    if (bytes.byteLength > SECRET_BYTES_MAX) {
      throw new BuildError(
        'secret-missing',
        `could not use secret ${id}: it has ${bytes.byteLength} bytes, the most is ${SECRET_BYTES_MAX}`,
      )
    }
    return bytes
  }

  /** Socket of the agent with this id; undefined when there is none. Errors: `ssh-missing`, `unsupported` (key files). */
  async agentSocket(id: string): Promise<string | undefined> {
    const paths = this.#agents.get(id)
    if (paths === undefined) {
      return undefined
    }
    const path = paths[0] ?? this.#env['SSH_AUTH_SOCK']
    if (path === undefined || path === '') {
      throw new BuildError(
        'ssh-missing',
        `could not use ssh agent ${id}: SSH_AUTH_SOCK is not set; start an agent or write --ssh ${id}=SOCKET`,
      )
    }
    const kind = await stat(path).catch((cause: unknown) => {
      throw new BuildError('ssh-missing', `could not use ssh agent ${id}: ${messageOf(cause)}`, {
        cause,
      })
    })
    if (!kind.isSocket()) {
      throw new BuildError(
        'unsupported',
        `could not use ssh agent ${id}: ${path} is a key file, and only agent sockets are supported; ` +
          'run ssh-agent and ssh-add, then write --ssh default',
      )
    }
    return path
  }

  #fromEnv(id: string, name: string): Uint8Array {
    const value = this.#env[name]
    if (value === undefined) {
      throw new BuildError(
        'secret-missing',
        `could not read secret ${id}: the variable ${name} is not set`,
      )
    }
    return Buffer.from(value)
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
