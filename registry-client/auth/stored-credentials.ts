import { homedir } from 'node:os'
import { join } from 'node:path'
import { RegistryError } from '../errors.ts'
import type { Environment } from '../transport/proxy.ts'
import { AuthConfig, authKey } from './config-file.ts'
import { helperGet } from './credential-helper.ts'
import { type Credentials, type CredentialSource, firstOf } from './credentials.ts'

/**
 * Credentials as Docker and Podman keep them, the first that knows (features rows R16 to R19):
 * DOCKER_AUTH_CONFIG (the JSON itself), the file REGISTRY_AUTH_FILE, Docker's config.json,
 * containers' auth.json. In each, a registry's own helper comes before the common one and that
 * before what is written in the file. Files are read each time: who asks keeps the answer for a while.
 */
export function storedCredentials(env: Environment): CredentialSource {
  const fromEnvironment = env['DOCKER_AUTH_CONFIG']
  const sources: CredentialSource[] = []
  if (fromEnvironment)
    sources.push(configSource(() => AuthConfig.parse(fromEnvironment, 'DOCKER_AUTH_CONFIG'), env))
  for (const path of [
    env['REGISTRY_AUTH_FILE'],
    dockerConfigPath(env),
    ...containersAuthPaths(env),
  ]) {
    if (path) sources.push(configSource(() => AuthConfig.readFile(path), env))
  }
  return firstOf(sources)
}

/** `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`: where `login` writes too. */
export function dockerConfigPath(env: Environment): string {
  return join(env['DOCKER_CONFIG'] || join(env['HOME'] || homedir(), '.docker'), 'config.json')
}

function containersAuthPaths(env: Environment): string[] {
  const runtime = env['XDG_RUNTIME_DIR']
  const config = env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config')
  return [
    ...(runtime ? [join(runtime, 'containers/auth.json')] : []),
    join(config, 'containers/auth.json'),
  ]
}

function configSource(load: () => AuthConfig | undefined, env: Environment): CredentialSource {
  return {
    async find(registry, repository, signal) {
      const config = load()
      return config === undefined ? undefined : find(config, { registry, repository, env, signal })
    },
  }
}

interface Question {
  readonly registry: string
  readonly repository: string | undefined
  readonly env: Environment
  readonly signal: AbortSignal
}

async function find(config: AuthConfig, question: Question): Promise<Credentials | undefined> {
  const { registry, repository, env, signal } = question
  const helper = config.helperFor(registry)
  if (helper === undefined) return config.credentials(registry, repository)
  try {
    const found = await helperGet({ name: helper.name, env, signal }, authKey(registry))
    return found ?? config.credentials(registry, repository)
  } catch (error) {
    // A config.json copied from a desktop names a store that is not here; what the file itself says
    // still counts.
    const written = helper.isOwn ? undefined : config.credentials(registry, repository)
    if (written !== undefined) return written
    if (!(error instanceof RegistryError)) throw error
    throw new RegistryError(error.code, `${error.reason} (named in ${config.origin})`, error)
  }
}
