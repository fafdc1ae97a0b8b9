import { stripVTControlCharacters } from 'node:util'
import type { Environment } from '../transport/proxy.ts'
import { redactText } from '../transport/redact.ts'

const SHOWN_LENGTH_MAX = 400
/** A value below this length is a word or a number more often than a login. */
const SECRET_LENGTH_MIN = 6
/** Variables that hold logins, as CI systems and clouds name them. */
const SECRET_VARIABLE = /token|secret|passw|credential|(?:^|_)(?:key|auth|pat)(?:$|_)/i
/** Variables that only say where a login is. */
const PLACE_VARIABLE = /(?:file|path|dir|sock|credentials)$/i

const NAME = String.raw`(?:secret|token|passw(?:or)?d|passphrase|access_?key|auth)`
const VALUE = String.raw`(?:\\"(?:(?!\\").)*(?:\\")?|"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,;"'}]+)`
/** `"Secret": "…"`, `token=…`, `--password …`: what shells and libraries trace. */
const NAMED_SECRET = new RegExp(
  String.raw`(${NAME}(?:\\?["']\s*[:=]\s*|=|\s*[:=]?\s*(?=["']))|--?[\w-]{0,40}${NAME}\s+)${VALUE}`,
  'gi',
)
/** A JSON web token, whole or without its signature. */
const WEB_TOKEN = /\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}/g

/** What a helper did. */
export interface HelperResult {
  /** Exit status; undefined when it did not end by itself. */
  readonly status: number | undefined
  /** By the protocol the reply, or the reason of a failure. */
  readonly stdout: string
  /** Words for people; the last of them. */
  readonly stderr: string
}

/**
 * Why a helper failed, in its own words, as `: …`; empty when it said nothing that may be shown.
 * What may be a login never is: standard output that is or may be a reply, `secrets`, the values
 * of secret variables of `env`, and what is named a secret. Of a long standard error the end is
 * shown, where programs say what stopped them.
 */
export function helperWords(
  result: HelperResult,
  env: Environment,
  secrets: readonly string[] = [],
): string {
  const isReply = !result.status || result.stdout.includes('{')
  const masked = [...secrets, ...secretValues(env), ...(isReply ? words(result.stdout) : [])]
  const reason = isReply ? '' : redactText(result.stdout, masked, 200)
  const text = redactText(stripVTControlCharacters(result.stderr), masked, Infinity)
  const said = lastWords(text.replaceAll(WEB_TOKEN, '***').replaceAll(NAMED_SECRET, '$1***'))
  const parts = [...new Set([reason, said])].filter((part) => part !== '')
  return parts.length === 0 ? '' : `: ${parts.join('; ')}`
}

/** The longest first: one may be a part of another. */
function words(text: string): string[] {
  const found = text.split(/[\s"'{}:,]+/).filter((word) => word.length >= SECRET_LENGTH_MIN)
  return found.toSorted((a, b) => b.length - a.length)
}

function secretValues(env: Environment): string[] {
  return Object.entries(env).flatMap(([name, value]) =>
    value !== undefined && isSecret(name, value) ? [value] : [],
  )
}

function isSecret(name: string, value: string): boolean {
  if (value.length < SECRET_LENGTH_MIN || !SECRET_VARIABLE.test(name)) return false
  return !(value.startsWith('/') && PLACE_VARIABLE.test(name))
}

/** The end of `text`, from the beginning of a word. */
function lastWords(text: string): string {
  if (text.length <= SHOWN_LENGTH_MAX) return text
  const end = text.slice(-SHOWN_LENGTH_MAX)
  return `… ${end.slice(end.indexOf(' ') + 1)}`
}
