import type { ConvertOptions } from './convert-options.ts'
import { withoutPlatform } from './convert-options.ts'
import { convertStages } from './convert.ts'
import type { Range } from './diagnostics.ts'
import type { ParsedDockerfile, ParseOptions } from './dockerfile.ts'
import { readDockerfile } from './dockerfile.ts'
import { DockerfileError, DockerfileErrors } from './errors.ts'
import { renderLocation } from './excerpt.ts'
import type { ConversionFact } from './facts.ts'
import { base64, jsonLocation } from './json-location.ts'
import type { ImageResolver } from './resolver.ts'
import type { LintConfig } from './rules/lint-config.ts'
import { lint, lintBefore, lintConfigOf, lintViolation } from './rules/lint.ts'
import type { Warning } from './rules/rule.ts'

/** Result of `--check` (features row L24). Without warnings and error the exit status is 0, else 1. */
export interface CheckReport {
  readonly warnings: readonly Warning[]
  /** What kept the file from being converted. */
  readonly error: DockerfileErrors | undefined
  readonly fileName: string
  readonly source: string
}

/** A file to check and what to check it with. */
export interface CheckRequest {
  readonly text: string
  readonly parseOptions: ParseOptions
  readonly options: ConvertOptions
  readonly resolver: ImageResolver
  readonly signal: AbortSignal
  /** Also the rules that BuildKit does not have. */
  readonly hasOwnRules?: boolean
}

/**
 * Runs all lint rules without building. Without a target every stage is looked at. Errors of the file are part of the
 * report; only the reason of an abort is thrown.
 */
export async function check(request: CheckRequest): Promise<CheckReport> {
  const { text, parseOptions, options, hasOwnRules } = request
  const report = { fileName: parseOptions.name, source: text }
  const facts: ConversionFact[] = []
  try {
    const { parsed, errors, refused } = readDockerfile(text, parseOptions)
    const config = lintConfigOf(parsed, options.buildArgs)
    if (errors !== undefined) {
      return { ...report, warnings: lintBefore(errors, { parsed, refused, config }), error: errors }
    }
    const error = await convertForFacts(parsed, request, facts)
    const warnings = lint({ parsed, facts, config, ignore: options.ignore, hasOwnRules })
    return { ...report, warnings, error: error ?? violationOf(parsed, config, warnings) }
  } catch (error) {
    if (error instanceof DockerfileErrors) return { ...report, warnings: [], error }
    throw error
  }
}

/** The error of `error=true`. The warnings are in the report, so that it has no place of its own. */
function violationOf(
  parsed: ParsedDockerfile,
  config: LintConfig,
  warnings: readonly Warning[],
): DockerfileErrors | undefined {
  const violation = lintViolation(config, warnings)
  if (violation === undefined) return undefined
  const { code, message } = violation
  const error = new DockerfileError(code, message, { range: undefined })
  return new DockerfileErrors([error], parsed.name, parsed.text)
}

async function convertForFacts(
  parsed: ParsedDockerfile,
  { options, resolver, signal }: CheckRequest,
  facts: ConversionFact[],
): Promise<DockerfileErrors | undefined> {
  const allStages = options.target === undefined
  try {
    await convertStages({
      parsed,
      options: { ...withoutPlatform(options), allStages },
      resolver,
      signal,
      facts: (fact) => facts.push(fact),
    })
    return undefined
  } catch (error) {
    if (error instanceof DockerfileErrors) return error
    throw error
  }
}

/** The text of `--check`, warnings in the order of the lines. Where only an error stopped it, nothing is said of warnings. */
export function renderCheck({ warnings, error, fileName, source }: CheckReport): string {
  const isStopped = error !== undefined && warnings.length === 0
  const out = isStopped ? [] : [`Check complete, ${countText(warnings.length)}\n`]
  const sorted = warnings.toSorted((a, b) => a.range.startLine - b.range.startLine)
  for (const warning of sorted) out.push(renderWarning(warning, fileName, source))
  for (const fault of error?.list ?? []) {
    const place = fault.range === undefined ? '' : `${linesOf(fileName, source, fault.range)}\n`
    out.push(`\nERROR: ${fault.message}\n${place}`)
  }
  return out.join('').trimStart()
}

function linesOf(name: string, source: string, range: Range): string {
  return renderLocation(name, source, { ...range, startColumn: 0 })
}

function countText(count: number): string {
  if (count === 0) return 'no warnings found.'
  return count === 1 ? '1 warning has been found!' : `${count} warnings have been found!`
}

/** One warning as `--check` shows it, with its lines. */
export function renderWarning(warning: Warning, fileName: string, source: string): string {
  const { rule, url, detail, range } = warning
  const page = url === '' ? '' : ` - ${url}`
  return `\nWARNING: ${rule}${page}\n${detail}\n${linesOf(fileName, source, range)}\n`
}

/** The JSON of `--call=check,format=json`. As there, no warnings are `null`. */
export function checkJson({ warnings, error, fileName, source }: CheckReport): string {
  const first = error?.list[0]
  const buildError =
    first === undefined
      ? {}
      : {
          buildError: {
            message: error?.message,
            location: first.range === undefined ? {} : jsonLocation(first.range),
          },
        }
  const document = {
    warnings: warnings.length === 0 ? null : warnings.map(jsonWarning),
    sources: [{ filename: fileName, language: 'Dockerfile', data: base64(source) }],
    ...buildError,
  }
  return JSON.stringify(document, undefined, 2)
}

function jsonWarning({ rule, description, url, detail, range }: Warning): object {
  const page = url === '' ? {} : { url }
  return { ruleName: rule, description, ...page, detail, location: jsonLocation(range) }
}
