import { homedir } from 'node:os'
import { join } from 'node:path'
import { namesIn, readTextIfThere } from '../local-files.ts'
import type { Environment } from '../transport/proxy.ts'
import { daemonJson } from './daemon-json.ts'
import { registriesConf } from './registries-conf.ts'
import { type HostsFile, hostsToml } from './hosts-toml.ts'
import { firstRouting, type Routing } from './routing.ts'

/** Where configuration is looked for; tests put their own root in front. */
const ETC = '/etc'

/**
 * What this machine's configuration says about mirrors: containers' registries.conf with its
 * drop-ins (the user's own before the system's), containerd's hosts.toml, then Docker's daemon.json
 * (of the system, else of the user's rootless daemon). Files that are not there
 * say nothing; those that cannot be understood are a RegistryError `bad-configuration`.
 */
export function systemRouting(env: Environment, etc: string = ETC): Routing {
  const home = env['HOME'] || homedir()
  const files = registriesConfPaths(env, home, etc).flatMap((path) => {
    const text = readTextIfThere(path)
    return text === undefined ? [] : [{ path, text }]
  })
  const hostsFiles = [join(home, '.config/containerd/certs.d'), join(etc, 'containerd/certs.d')]
  return firstRouting([
    registriesConf(files),
    hostsToml(hostsFiles.flatMap(readHostsFiles)),
    ...daemonRouting([join(etc, 'docker/daemon.json'), join(home, '.config/docker/daemon.json')]),
  ])
}

/** By containers-registries.conf.d(5): where the user has a file of their own, nothing of the system's is read. */
function registriesConfPaths(env: Environment, home: string, etc: string): string[] {
  const named = env['CONTAINERS_REGISTRIES_CONF']
  if (named) return [named]
  const user = join(home, '.config/containers/registries.conf')
  const system = join(etc, 'containers/registries.conf')
  const ofUser = confFiles(`${user}.d`)
  return readTextIfThere(user) === undefined
    ? [system, ...confFiles(`${system}.d`), ...ofUser]
    : [user, ...ofUser]
}

function daemonRouting(paths: readonly string[]): Routing[] {
  for (const path of paths) {
    const text = readTextIfThere(path)
    if (text !== undefined) return [daemonJson(text, path)]
  }
  return []
}

function readHostsFiles(root: string): HostsFile[] {
  return namesIn(root).flatMap((directory) => {
    const path = join(root, directory, 'hosts.toml')
    const text = readTextIfThere(path)
    return text === undefined ? [] : [{ directory, path, text }]
  })
}

function confFiles(directory: string): string[] {
  const names = namesIn(directory).filter((name) => name.endsWith('.conf'))
  return names.map((name) => join(directory, name))
}
