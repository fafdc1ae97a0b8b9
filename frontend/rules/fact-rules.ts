import type { ConversionFact } from '../facts.ts'
import { goQuote } from '../go-format.ts'
import { parseImageReference } from '../image-reference.ts'
import { formatFullPlatform, normalizePlatform } from '../platform.ts'
import { suggest } from '../suggest.ts'
import type { ContextIgnore } from './copy-ignored.ts'
import { copyIgnoredFindings } from './copy-ignored.ts'
import type { Finding } from './rule.ts'
import {
  EXPOSE_INVALID_FORMAT,
  EXPOSE_PROTO_CASING,
  FROM_PLATFORM_FLAG_CONST_DISALLOWED,
  INVALID_BASE_IMAGE_PLATFORM,
  INVALID_DEFAULT_ARG_IN_FROM,
  JSON_ARGS_RECOMMENDED,
  LEGACY_KEY_VALUE_FORMAT,
  MULTIPLE_INSTRUCTIONS_DISALLOWED,
  REDUNDANT_TARGET_PLATFORM,
  SECRETS_USED_IN_ARG_OR_ENV,
  UNDEFINED_ARG_IN_FROM,
  UNDEFINED_VAR,
  WORKDIR_RELATIVE_PATH,
} from './rule.ts'
import { looksSecret } from './secret-names.ts'

type FactOf<K extends ConversionFact['kind']> = Extract<ConversionFact, { readonly kind: K }>

/** Rules about what the conversion saw. */
export function factFindings(
  fact: ConversionFact,
  ignore: ContextIgnore | undefined,
): readonly Finding[] {
  switch (fact.kind) {
    case 'missing-variable':
      return [missingVariable(fact)]
    case 'missing-from-variable':
      return [missingFromVariable(fact)]
    case 'default-base':
      return defaultBase(fact)
    case 'from-platform':
      return fromPlatform(fact)
    case 'base-platform':
      return basePlatform(fact)
    case 'workdir':
      return workdir(fact)
    case 'names-set':
      return namesSet(fact)
    case 'legacy-pairs':
      return [legacyPairs(fact)]
    case 'default-shell':
      return [defaultShell(fact)]
    case 'overridden':
      return [overridden(fact)]
    case 'port':
      return port(fact)
    case 'context-path':
      return copyIgnoredFindings(fact, ignore)
  }
}

function missingVariable({ place, name, known }: FactOf<'missing-variable'>): Finding {
  const near = suggest(name, known)
  const hint = near === undefined ? '' : ` (did you mean $${near}?)`
  return { rule: UNDEFINED_VAR, detail: `Usage of undefined variable '$${name}'${hint}`, place }
}

function missingFromVariable({ place, name, known }: FactOf<'missing-from-variable'>): Finding {
  const near = suggest(name, known)
  const hint = near === undefined ? '' : ` (did you mean ${near}?)`
  const detail = `FROM argument '${name}' is not declared${hint}`
  return { rule: UNDEFINED_ARG_IN_FROM, detail, place }
}

function defaultBase({ from, name }: FactOf<'default-base'>): Finding[] {
  if (!('fault' in parseImageReference(name))) return []
  const detail = `Default value for ARG ${from.base} results in empty or invalid base image name`
  // Comments above a FROM silence neither this nor the rule about its platform, as in BuildKit.
  const place = { range: from.range, comments: [] }
  return [{ rule: INVALID_DEFAULT_ARG_IN_FROM, detail, place }]
}

function fromPlatform(fact: FactOf<'from-platform'>): Finding[] {
  const { from, value, platform, used, missing, target } = fact
  const isTarget = used.size === 1 && missing.size === 0 && used.has('TARGETPLATFORM')
  if (isTarget && value === target) {
    const detail =
      `Setting platform to predefined ${from.platform} in FROM is redundant as this is the ` +
      'default behavior'
    return [{ rule: REDUNDANT_TARGET_PLATFORM, detail, place: from }]
  }
  const isConstant = used.size === 0 && missing.size === 0
  const { stageName } = from
  if (!isConstant || stageName.includes(platform.os) || stageName.includes(platform.architecture)) {
    return []
  }
  const detail = `FROM --platform flag should not use constant value ${goQuote(value)}`
  return [{ rule: FROM_PLATFORM_FLAG_CONST_DISALLOWED, detail, place: from }]
}

function basePlatform({ place, name, expected, actual }: FactOf<'base-platform'>): Finding[] {
  if (expected.os === actual.os && expected.architecture === actual.architecture) return []
  const wanted = goQuote(formatFullPlatform(normalizePlatform(expected)))
  const found = goQuote(formatFullPlatform(normalizePlatform(actual)))
  const detail = `Base image ${name} was pulled with platform ${found}, expected ${wanted} for current build`
  return [{ rule: INVALID_BASE_IMAGE_PLATFORM, detail, place }]
}

function workdir({ place, path, isFirst }: FactOf<'workdir'>): Finding[] {
  if (!isFirst || path.startsWith('/')) return []
  const detail = `Relative workdir ${goQuote(path)} can have unexpected results if the base image changes`
  return [{ rule: WORKDIR_RELATIVE_PATH, detail, place }]
}

function namesSet({ place, instruction, names }: FactOf<'names-set'>): Finding[] {
  return names.filter(looksSecret).map((name) => ({
    rule: SECRETS_USED_IN_ARG_OR_ENV,
    detail: `Do not use ARG or ENV instructions for sensitive data (${instruction} ${goQuote(name)})`,
    place,
  }))
}

function legacyPairs({ place, instruction }: FactOf<'legacy-pairs'>): Finding {
  const detail = `"${instruction} key=value" should be used instead of legacy "${instruction} key value" format`
  return { rule: LEGACY_KEY_VALUE_FORMAT, detail, place }
}

function defaultShell({ place, instruction }: FactOf<'default-shell'>): Finding {
  const detail =
    `JSON arguments recommended for ${instruction} to prevent unintended behavior related to OS ` +
    'signals'
  return { rule: JSON_ARGS_RECOMMENDED, detail, place }
}

function overridden({ earlier, later }: FactOf<'overridden'>): Finding {
  const detail =
    `Multiple ${later.name} instructions should not be used in the same stage because only the ` +
    'last one will be used'
  // The earlier one is the one to remove, but a comment above the later one silences the rule.
  const place = { range: earlier.range, comments: later.comments }
  return { rule: MULTIPLE_INSTRUCTIONS_DISALLOWED, detail, place }
}

function port(fact: FactOf<'port'>): Finding[] {
  const { place, text, hasUpperCaseProtocol, hasHostPart } = fact
  const findings: Finding[] = []
  if (hasUpperCaseProtocol) {
    const detail = `Defined protocol '${text}' in EXPOSE instruction should be lowercase`
    findings.push({ rule: EXPOSE_PROTO_CASING, detail, place })
  }
  if (hasHostPart) {
    const detail =
      'EXPOSE instruction should not define an IP address or host-port mapping, found ' +
      `'${text}'`
    findings.push({ rule: EXPOSE_INVALID_FORMAT, detail, place })
  }
  return findings
}
