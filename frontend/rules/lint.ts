import { lineRange } from '../diagnostics.ts'
import { findDirective } from '../directives.ts'
import type { ParsedDockerfile, ReadDockerfile } from '../dockerfile.ts'
import { DockerfileError, DockerfileErrors } from '../errors.ts'
import type { ConversionFact } from '../facts.ts'
import type { ContextIgnore } from './copy-ignored.ts'
import { factFindings } from './fact-rules.ts'
import { casingFindings, fileFindings, refusedFindings } from './file-rules.ts'
import type { LintConfig } from './lint-config.ts'
import { isEnabled, parseLintConfig, withComments } from './lint-config.ts'
import { ownFindings } from './own/own-findings.ts'
import type { Finding, Warning } from './rule.ts'
import { NO_EMPTY_CONTINUATION } from './rule.ts'
import { stageNameFindings } from './stage-rules.ts'

const OVERRIDE = 'BUILDKIT_DOCKERFILE_CHECK'

/**
 * The lint options of a file: the build arg BUILDKIT_DOCKERFILE_CHECK replaces the `# check=` directive (features row
 * L29). Throws DockerfileErrors with a `bad-argument`.
 */
export function lintConfigOf(
  parsed: ParsedDockerfile,
  buildArgs: ReadonlyMap<string, string>,
): LintConfig {
  const directive = findDirective(parsed.text, 'check')
  // A directive's value ends at the first blank: `skip=A, B` loses B, as in BuildKit.
  const text = buildArgs.get(OVERRIDE) ?? directive?.value.split(' ', 1)[0] ?? ''
  const config = parseLintConfig(text)
  if (!('fault' in config)) return config
  const range = buildArgs.has(OVERRIDE) ? undefined : lineRange(directive?.line ?? 1)
  const origin = buildArgs.has(OVERRIDE) ? `build-arg:${OVERRIDE}` : 'check options'
  const message = `failed to parse ${origin}: ${config.fault}`
  const error = new DockerfileError('bad-argument', message, { range })
  throw new DockerfileErrors([error], parsed.name, parsed.text)
}

/** What the rules look at. */
export interface LintSubject {
  readonly parsed: ParsedDockerfile
  readonly facts: readonly ConversionFact[]
  readonly config: LintConfig
  readonly ignore: ContextIgnore | undefined
  /** With the rules that BuildKit does not have. */
  readonly hasOwnRules?: boolean | undefined
}

/** Warnings of all enabled rules: those about the text first, then in the order of the conversion. */
export function lint({ parsed, facts, config, ignore, hasOwnRules }: LintSubject): Warning[] {
  return enabledWarnings(config, [
    ...fileFindings(parsed),
    ...[...stageNameFindings(parsed), ...casingFindings(parsed)].map(aboutWholeFile),
    ...facts.flatMap((fact) => factFindings(fact, ignore)),
    ...(hasOwnRules === true ? ownFindings(parsed) : []),
  ])
}

/**
 * Warnings in a file that cannot be read as a whole. Instructions are read one after another: what is above the first that
 * is wrong was looked at, and how that one begins. Lines were put together before that, in the whole file. Where the words
 * themselves cannot be told apart, anywhere, no instruction was read.
 */
export function lintBefore(
  { list }: DockerfileErrors,
  {
    parsed,
    refused,
    config,
  }: Pick<LintSubject, 'parsed' | 'config'> & Pick<ReadDockerfile, 'refused'>,
): Warning[] {
  const [first] = refused
  if (first === undefined || list.some(({ code }) => code === 'syntax')) return []
  const seen = fileFindings(parsed).filter(
    ({ rule, place }) =>
      rule === NO_EMPTY_CONTINUATION || place.range.startLine < first.range.startLine,
  )
  return enabledWarnings(config, [...seen, ...refusedFindings(first)])
}

/** What compares instructions with each other is not silenced by a comment above one of them (as in BuildKit). */
function aboutWholeFile({ place: { range }, ...finding }: Finding): Finding {
  return { ...finding, place: { range, comments: [] } }
}

function enabledWarnings(config: LintConfig, findings: readonly Finding[]): Warning[] {
  return findings
    .filter(({ rule, place }) => isEnabled(withComments(config, place.comments), rule))
    .map(({ rule, detail, place }) => ({
      rule: rule.name,
      description: rule.description,
      url: rule.url,
      detail,
      range: place.range,
    }))
}

/** The error of `error=true` when there are warnings (features row L30). */
export function lintViolation(
  config: LintConfig,
  warnings: readonly Warning[],
): DockerfileError | undefined {
  if (!config.isError || warnings.length === 0) return undefined
  const rules = [...new Set(warnings.map(({ rule }) => rule))]
  const message = `lint violation found for rules: ${rules.join(', ')}`
  return new DockerfileError('lint-violation', message, { range: warnings[0]?.range })
}
