import type { ParsedDockerfile } from '../dockerfile.ts'
import { goQuote } from '../go-format.ts'
import type { Finding } from './rule.ts'
import { DUPLICATE_STAGE_NAME, RESERVED_STAGE_NAME } from './rule.ts'

const RESERVED: ReadonlySet<string> = new Set(['context', 'scratch'])

/** Rules about the names of stages (features rows L5, L6). */
export function stageNameFindings(parsed: ParsedDockerfile): Finding[] {
  const findings: Finding[] = []
  const seen = new Set<string>()
  for (const { from } of parsed.stages) {
    const { stageName } = from
    if (stageName === '') continue
    if (RESERVED.has(stageName)) {
      const detail = `Stage name should not use the same name as reserved stage ${goQuote(stageName)}`
      findings.push({ rule: RESERVED_STAGE_NAME, detail, place: from })
    }
    if (seen.has(stageName)) {
      const detail = `Duplicate stage name ${goQuote(stageName)}, stage names should be unique`
      findings.push({ rule: DUPLICATE_STAGE_NAME, detail, place: from })
    }
    seen.add(stageName)
  }
  return findings
}
