import { RegistryError } from '../errors.ts'
import { formatReference, type Reference } from '../oci/index.ts'
import { originOf, type PullSource, type Routing } from './routing.ts'
import { isTable, parseToml, type TomlTable, type TomlValue } from './toml.ts'

interface Mirror {
  readonly location: string
  readonly pullFrom: 'all' | 'digest-only' | 'tag-only'
}

/** One `[[registry]]`. */
interface Rule {
  readonly prefix: string
  readonly location: string
  readonly isInsecure: boolean
  readonly isBlocked: boolean
  readonly mirrors: readonly Mirror[]
  readonly insecureMirrors: readonly string[]
}

/**
 * The routing of containers' registries.conf, version 2 (containers-registries.conf(5)): the rule
 * with the longest prefix decides, its mirrors come first, then its location. Later files replace
 * rules of the same prefix. Throws RegistryError `bad-configuration`.
 */
export function registriesConf(
  files: readonly { readonly path: string; readonly text: string }[],
): Routing {
  const rules = new Map<string, Rule>()
  for (const { path, text } of files) {
    for (const rule of readRules(parseToml(text, path), path)) rules.set(rule.prefix, rule)
  }
  const byLength = [...rules.values()].sort((a, b) => b.prefix.length - a.prefix.length)
  const insecure = byLength.flatMap((rule) => [
    ...(rule.isInsecure ? [hostOf(rule.location)] : []),
    ...rule.insecureMirrors.map(hostOf),
  ])
  return {
    pullSources: (reference) => sourcesFor(byLength, reference),
    insecureRegistries: insecure,
  }
}

function sourcesFor(rules: readonly Rule[], reference: Reference): PullSource[] {
  const name = `${reference.registry}/${reference.repository}`
  const whole = formatReference(reference)
  const rule = rules.find(({ prefix }) => isPrefix(prefix, name, whole))
  if (rule === undefined) return [originOf(reference)]
  if (rule.isBlocked) {
    throw new RegistryError('bad-configuration', `${rule.prefix} is blocked in registries.conf`, {
      host: reference.registry,
    })
  }
  const mirrors = rule.mirrors.filter(({ pullFrom }) => {
    return pullFrom === 'all' || (pullFrom === 'digest-only') === (reference.digest !== undefined)
  })
  return [...mirrors.map(({ location }) => location), rule.location].map((location) =>
    rewritten(location, rule.prefix, name),
  )
}

/** A prefix ends where a part of the name ends; `*.example.com` is for all hosts below. */
function isPrefix(prefix: string, name: string, whole: string): boolean {
  if (prefix.startsWith('*.')) {
    return name.split('/', 1)[0]?.replace(/:\d+$/, '').endsWith(prefix.slice(1)) === true
  }
  if (!whole.startsWith(prefix)) return false
  return ['', '/', ':', '@'].includes(whole.charAt(prefix.length))
}

function rewritten(location: string, prefix: string, name: string): PullSource {
  // A wildcard has no location of its own: the name stays.
  const target =
    location === '' || prefix.startsWith('*.') ? name : `${location}${name.slice(prefix.length)}`
  const slash = target.indexOf('/')
  return {
    registry: target.slice(0, slash),
    repository: target.slice(slash + 1),
    isPlainHttp: false,
  }
}

function readRules(file: TomlTable, path: string): Rule[] {
  if (file['registries'] !== undefined) {
    throw new RegistryError('bad-configuration', `${path} is of version 1; write [[registry]]`)
  }
  return tables(file['registry'], path).map((table) => {
    const location = string(table['location'], path)
    const prefix = string(table['prefix'], path) || location
    if (prefix === '') {
      throw new RegistryError('bad-configuration', `${path}: a registry has no prefix or location`)
    }
    const mirrors = tables(table['mirror'], path)
    return {
      prefix,
      location: location || (prefix.startsWith('*.') ? '' : prefix),
      isInsecure: table['insecure'] === true,
      isBlocked: table['blocked'] === true,
      mirrors: mirrors.map((mirror) => ({
        location: string(mirror['location'], path),
        pullFrom: pullFrom(mirror, table['mirror-by-digest-only'] === true, path),
      })),
      insecureMirrors: mirrors
        .filter((mirror) => mirror['insecure'] === true)
        .map((mirror) => string(mirror['location'], path)),
    }
  })
}

function pullFrom(mirror: TomlTable, isDigestOnly: boolean, path: string): Mirror['pullFrom'] {
  const value = string(mirror['pull-from-mirror'], path)
  if (value === '') return isDigestOnly ? 'digest-only' : 'all'
  if (value === 'all' || value === 'digest-only' || value === 'tag-only') return value
  throw new RegistryError('bad-configuration', `${path}: pull-from-mirror is not ${value}`)
}

function tables(value: TomlValue | undefined, path: string): TomlTable[] {
  if (value === undefined) return []
  if (Array.isArray(value) && value.every(isTable)) return value
  throw new RegistryError('bad-configuration', `${path}: registry and mirror are written [[…]]`)
}

function string(value: TomlValue | undefined, path: string): string {
  if (value === undefined) return ''
  if (typeof value === 'string') return value.replace(/\/+$/, '')
  throw new RegistryError('bad-configuration', `${path}: ${String(value)} should be a string`)
}

function hostOf(location: string): string {
  return location.split('/', 1)[0] ?? location
}
