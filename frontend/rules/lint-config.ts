import { parseDirective } from '../directives.ts'
import { parseGoBool, goQuote } from '../go-format.ts'
import type { Rule } from './rule.ts'

/** Rules to leave out, and what a warning means (features rows D10, L29-L31). */
export interface LintConfig {
  readonly skip: 'all' | ReadonlySet<string>
  readonly experimental: 'all' | ReadonlySet<string>
  /** A warning fails the build. */
  readonly isError: boolean
}

const PARTS_MAX = 3

/** Reads `skip=A,B;error=true;experimental=X`. */
export function parseLintConfig(text: string): LintConfig | { readonly fault: string } {
  let skip: LintConfig['skip'] = new Set()
  let experimental: LintConfig['experimental'] = new Set()
  let isError = false
  const all = text.trim()
  const parts = all === '' ? [] : all.split(';')
  const known = parts.slice(0, PARTS_MAX - 1)
  if (parts.length >= PARTS_MAX) known.push(parts.slice(PARTS_MAX - 1).join(';'))
  for (const part of known) {
    const at = part.indexOf('=')
    if (at < 0) return { fault: `invalid check option ${goQuote(part)}` }
    const key = part.slice(0, at).trim()
    const value = part.slice(at + 1).trim()
    if (key === 'skip') skip = readRules(value)
    else if (key === 'experimental') experimental = readRules(value)
    else if (key === 'error') {
      const flag = parseGoBool(value)
      if (flag === undefined) return { fault: `failed to parse check option ${goQuote(part)}` }
      isError = flag
    } else return { fault: `invalid check option ${goQuote(key)}` }
  }
  return { skip, experimental, isError }
}

function readRules(value: string): 'all' | ReadonlySet<string> {
  return value === 'all' ? 'all' : new Set(value.split(',').map((name) => name.trim()))
}

/** True when `rule` counts under `config`: skips do not reach experimental rules. */
export function isEnabled(config: LintConfig, rule: Rule): boolean {
  const { skip, experimental } = config
  if (rule.isExperimental) return experimental === 'all' || experimental.has(rule.name)
  return skip !== 'all' && !skip.has(rule.name)
}

/** The config with the `# check=` comments above an instruction added; these cannot turn warnings into errors (row L32). */
export function withComments(config: LintConfig, comments: readonly string[]): LintConfig {
  for (const comment of comments) {
    const directive = parseDirective(comment, '', 1)
    if (directive?.name !== 'check') continue
    const other = parseLintConfig(directive.value.split(' ', 1)[0] ?? '')
    if ('fault' in other) return config
    return {
      skip: merge(config.skip, other.skip),
      experimental: merge(config.experimental, other.experimental),
      isError: config.isError,
    }
  }
  return config
}

function merge(
  a: 'all' | ReadonlySet<string>,
  b: 'all' | ReadonlySet<string>,
): 'all' | ReadonlySet<string> {
  return a === 'all' || b === 'all' ? 'all' : new Set([...a, ...b])
}
