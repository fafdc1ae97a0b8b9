import { readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { RegistryError } from '../errors.ts'
import type { Environment } from '../transport/proxy.ts'
import { daemonJson } from './daemon-json.ts'
import { registriesConf } from './registries-conf.ts'
import { firstRouting, type Routing } from './routing.ts'

/** Where configuration is looked for; tests put their own root in front. */
const ETC = '/etc'

/**
 * What this machine's configuration says about mirrors: containers' registries.conf with its
 * drop-ins (the user's own before the system's), then Docker's daemon.json. Files that are not there
 * say nothing; those that cannot be understood are a RegistryError `bad-configuration`.
 */
export function systemRouting(env: Environment, etc: string = ETC): Routing {
  const home = env['HOME'] || homedir()
  const named = env['CONTAINERS_REGISTRIES_CONF']
  const user = join(home, '.config/containers/registries.conf')
  const system = join(etc, 'containers/registries.conf')
  const main = named ? [named] : [read(user) === undefined ? system : user]
  const dropIns = named ? [] : [...confFiles(`${system}.d`), ...confFiles(`${user}.d`)]
  const files = [...main, ...dropIns].flatMap((path) => {
    const text = read(path)
    return text === undefined ? [] : [{ path, text }]
  })
  const daemonPath = join(etc, 'docker/daemon.json')
  const daemonText = read(daemonPath)
  return firstRouting([
    registriesConf(files),
    ...(daemonText === undefined ? [] : [daemonJson(daemonText, daemonPath)]),
  ])
}

function confFiles(directory: string): string[] {
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith('.conf'))
    return names.sort().map((name) => join(directory, name))
  } catch (error) {
    if (isMissing(error)) return []
    throw unreadable(directory, error)
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw unreadable(path, error)
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^(ENOENT|ENOTDIR)$/.test(String(error.code))
}

function unreadable(path: string, cause: unknown): RegistryError {
  return new RegistryError('bad-configuration', `cannot read ${path}`, { cause })
}
