import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { reasonOf } from '../../../snapshotter/index.ts'
import type { BuildRequest, SecretSource } from '../../request.ts'
import { UsageError } from '../errors.ts'
import { readCsvPairs } from './csv.ts'

/** A secret larger than this is refused, as in BuildKit. */
const SECRET_SIZE_BYTES_MAX = 500 * 1024

interface SecretSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
}

/**
 * `--secret id=X[,src=file][,env=VAR][,type=file|env]` (features row C33). Files are checked now and read when a step
 * needs them. Throws `UsageError`.
 */
export async function readSecrets(
  values: readonly string[],
  surroundings: SecretSurroundings,
): Promise<SecretSource[]> {
  const secrets = new Map<string, SecretSource>()
  for (const text of values) {
    const secret = readSecret(text, surroundings)
    if (secret.source.kind === 'file') {
      await checkSecretFile(secret.source.path, resolve(surroundings.cwd, secret.source.path))
      secrets.set(secret.id, {
        id: secret.id,
        source: { kind: 'file', path: resolve(surroundings.cwd, secret.source.path) },
      })
    } else {
      secrets.set(secret.id, secret)
    }
  }
  return [...secrets.values()]
}

function readSecret(text: string, { env }: SecretSurroundings): SecretSource {
  const fields = new Map<string, string>()
  for (const { key, value } of readCsvPairs(text)) {
    const name = key.toLowerCase() === 'source' ? 'src' : key.toLowerCase()
    if (!['id', 'src', 'env', 'type'].includes(name)) {
      throw new UsageError(
        `invalid secret "${text}": unexpected key '${key}' (known: id, src, env, type)`,
      )
    }
    if (value === undefined) {
      throw new UsageError(`invalid secret "${text}": field '${key}' must be a key=value pair`)
    }
    fields.set(name, value)
  }
  const type = fields.get('type')
  if (type !== undefined && type !== 'file' && type !== 'env') {
    throw new UsageError(
      `invalid secret "${text}": unsupported secret type '${type}' (known: file, env)`,
    )
  }
  const id = fields.get('id') ?? ''
  if (id === '') {
    throw new UsageError(`invalid secret "${text}": the id is missing (id=NAME)`)
  }
  return { id, source: secretSource(id, type, fields, env) }
}

function secretSource(
  id: string,
  type: string | undefined,
  fields: ReadonlyMap<string, string>,
  env: SecretSurroundings['env'],
): SecretSource['source'] {
  const variable = fields.get('env') ?? (type === 'env' ? fields.get('src') : undefined)
  if (variable !== undefined) {
    return { kind: 'env', name: variable }
  }
  const path = fields.get('src')
  if (path !== undefined) {
    return { kind: 'file', path }
  }
  return type !== 'file' && env[id] !== undefined
    ? { kind: 'env', name: id }
    : { kind: 'file', path: id }
}

async function checkSecretFile(shown: string, path: string): Promise<void> {
  const info = await stat(path).catch((error: unknown) => {
    throw new UsageError(`could not use the secret file ${shown}: ${reasonOf(error)}`, {
      cause: error,
    })
  })
  if (info.size > SECRET_SIZE_BYTES_MAX) {
    throw new UsageError(
      `could not use the secret file ${shown}: it has ${info.size} bytes, the most is ${SECRET_SIZE_BYTES_MAX}`,
    )
  }
}

/** `--ssh default|id[=path[,path]]` (features row C34): the socket of an agent, or keys; no path means the agent at `SSH_AUTH_SOCK`. Throws `UsageError`. */
export function readSsh(values: readonly string[], cwd: string): BuildRequest['ssh'] {
  const forwards = new Map<string, readonly string[]>()
  for (const text of values) {
    const equals = text.indexOf('=')
    const id = equals < 0 ? text : text.slice(0, equals)
    const paths = equals < 0 ? [] : text.slice(equals + 1).split(',')
    if (id === '') {
      throw new UsageError(`invalid ssh "${text}": the id is missing`)
    }
    if (paths.some((path) => /^raw=/.test(path))) {
      throw new UsageError(`invalid ssh "${text}": raw sockets are not supported`)
    }
    if (forwards.has(id)) {
      throw new UsageError(`invalid ssh "${text}": the id ${id} was given twice`)
    }
    forwards.set(
      id,
      paths.map((path) => resolve(cwd, path)),
    )
  }
  return [...forwards].map(([id, paths]) => ({ id, paths }))
}

/** Refuses what `--ssh` names and nobody could use, before anything is done. Throws `UsageError`. */
export async function checkSsh(
  ssh: BuildRequest['ssh'],
  env: SecretSurroundings['env'],
): Promise<BuildRequest['ssh']> {
  const [lost] = ssh.filter(({ paths }) => paths.length === 0)
  if (lost !== undefined && (env['SSH_AUTH_SOCK'] ?? '') === '') {
    throw new UsageError(
      `invalid ssh "${lost.id}": SSH_AUTH_SOCK is not set; start an agent or write --ssh ${lost.id}=SOCKET`,
    )
  }
  if (ssh.every(({ paths }) => paths.length === 0)) return ssh
  const { readSshSource } = await import('../../ops/ssh-forward.ts')
  for (const { id, paths } of ssh) {
    await readSshSource(id, paths).catch((error: unknown) => {
      throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error })
    })
  }
  return ssh
}
