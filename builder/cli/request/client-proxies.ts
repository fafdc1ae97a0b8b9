import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { errnoOf, reasonOf } from '../../../snapshotter/index.ts'
import { CommandError } from '../errors.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Keys of `proxies.default` in Docker's config.json with the build arguments that each gives (features row D46). */
const ARGUMENTS: ReadonlyMap<string, string> = new Map([
  ['httpProxy', 'HTTP_PROXY'],
  ['httpsProxy', 'HTTPS_PROXY'],
  ['ftpProxy', 'FTP_PROXY'],
  ['noProxy', 'NO_PROXY'],
  ['allProxy', 'ALL_PROXY'],
])

/**
 * `buildArgs` with the proxies that Docker's config.json sets for builds, where the command line sets none. Both
 * spellings, since a Dockerfile may declare either. Errors: `CommandError`
 * `config-invalid`.
 */
export async function withClientProxies(
  buildArgs: Map<string, string>,
  env: Environment,
): Promise<Map<string, string>> {
  for (const [name, value] of await clientProxies(env)) {
    const lower = name.toLowerCase()
    if (!buildArgs.has(name) && !buildArgs.has(lower)) {
      buildArgs.set(name, value).set(lower, value)
    }
  }
  return buildArgs
}

async function clientProxies(env: Environment): Promise<[string, string][]> {
  // Not from the registry client: loading it costs more than a whole cached build.
  const directory = env['DOCKER_CONFIG'] || join(env['HOME'] || homedir(), '.docker')
  const path = join(directory, 'config.json')
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    // Whether it may be read is the business of who needs credentials from it.
    if (errnoOf(error) !== undefined) return undefined
    throw error
  })
  if (text === undefined || !text.includes('"proxies"')) {
    return []
  }
  const defaults = field(field(parse(text, path), 'proxies'), 'default')
  return [...ARGUMENTS].flatMap(([key, name]): [string, string][] => {
    const value = field(defaults, key)
    return typeof value === 'string' && value !== '' ? [[name, value]] : []
  })
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CommandError(
      'config-invalid',
      `could not read proxies from ${path}: ${reasonOf(error)}`,
      {
        hint: 'correct the file, or name another directory with DOCKER_CONFIG',
        cause: error,
      },
    )
  }
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null
    ? Object.entries(value).find(([own]) => own === key)?.[1]
    : undefined
}
