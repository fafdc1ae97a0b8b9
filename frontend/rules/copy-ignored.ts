import type { ConversionFact } from '../facts.ts'
import { goQuote } from '../go-format.ts'
import { cleanPath } from '../posix-path.ts'
import type { Finding } from './rule.ts'
import { COPY_IGNORED_FILE } from './rule.ts'

/** What `.dockerignore` says, as far as the rule needs it. The builder, which reads the file, gives it. */
export interface ContextIgnore {
  readonly patterns: readonly string[]
  /** True when a pattern matches the path or a directory above it. */
  matches(path: string): boolean
}

const WHOLE_CONTEXT: ReadonlySet<string> = new Set(['*', '**', '**/*'])

/**
 * COPY or ADD of a path that the context does not hold (features row L19). With a `!` pattern nothing is said: a part of an
 * ignored directory may be there.
 */
export function copyIgnoredFindings(
  fact: Extract<ConversionFact, { readonly kind: 'context-path' }>,
  ignore: ContextIgnore | undefined,
): Finding[] {
  if (ignore === undefined || ignore.patterns.some((pattern) => pattern.startsWith('!'))) return []
  const path = cleanPath(fact.path)
  const isRoot = path === '.' || path === '/'
  if (isRoot && !ignore.patterns.some((pattern) => WHOLE_CONTEXT.has(pattern))) return []
  if (!ignore.matches(path)) return []
  const detail = `Attempting to ${fact.instruction} file ${goQuote(path)} that is excluded by .dockerignore`
  return [{ rule: COPY_IGNORED_FILE, detail, place: fact.place }]
}
