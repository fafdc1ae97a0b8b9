import { RegistryError } from '../errors.ts'
import { DEFAULT_REGISTRY } from '../oci/index.ts'
import { originOf, type PullSource, type Routing } from './routing.ts'

/**
 * The routing of Docker's daemon.json: `registry-mirrors`, which are for Docker Hub only, and
 * `insecure-registries` (features row R13). Throws RegistryError `bad-configuration`.
 */
export function daemonJson(text: string, path: string): Routing {
  const json = parse(text, path)
  const mirrors = strings(json, 'registry-mirrors', path).map((mirror) => readMirror(mirror, path))
  return {
    insecureRegistries: strings(json, 'insecure-registries', path),
    pullSources(reference) {
      const isHub = reference.registry === DEFAULT_REGISTRY
      const sources = (isHub ? mirrors : []).map(({ registry, prefix, isPlainHttp }) => {
        return { registry, repository: `${prefix}${reference.repository}`, isPlainHttp }
      })
      return [...sources, originOf(reference)]
    },
  }
}

function readMirror(
  text: string,
  path: string,
): Pick<PullSource, 'registry' | 'isPlainHttp'> & { readonly prefix: string } {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new RegistryError('bad-configuration', `${path}: a registry mirror is not an http URL`)
  }
  const prefix = url.pathname.replace(/^\/+/, '').replace(/\/*$/, '/')
  return {
    registry: url.host,
    prefix: prefix === '/' ? '' : prefix,
    isPlainHttp: url.protocol === 'http:',
  }
}

function parse(text: string, path: string): object {
  try {
    const json: unknown = JSON.parse(text.trim() === '' ? '{}' : text)
    if (typeof json === 'object' && json !== null) return json
  } catch (cause) {
    throw new RegistryError('bad-configuration', `${path} is not valid JSON`, { cause })
  }
  throw new RegistryError('bad-configuration', `${path} is not a JSON object`)
}

function strings(json: object, key: string, path: string): string[] {
  const value: unknown = Object.hasOwn(json, key) ? Reflect.get(json, key) : []
  const isList = Array.isArray(value) && value.every((item) => typeof item === 'string')
  if (isList) return value
  throw new RegistryError('bad-configuration', `${path}: ${key} is not a list of strings`)
}
