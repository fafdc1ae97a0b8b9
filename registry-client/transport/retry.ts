import { RegistryError, restated } from '../errors.ts'
import type { Clock } from './clock.ts'

/** Features row R36: waits of about 1, 2 and 4 s, then the error. */
export interface RetryPolicy {
  readonly triesMax: number
  readonly delayMsFirst: number
  readonly delayMsMax: number
  /** A server that asks for a longer wait than this is not waited for. */
  readonly retryAfterMsMax: number
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  triesMax: 4,
  delayMsFirst: 1_000,
  delayMsMax: 8_000,
  retryAfterMsMax: 5 * 60_000,
}

export interface RetryContext {
  readonly clock: Clock
  readonly policy: RetryPolicy
  readonly signal: AbortSignal
  /**
   * Whether the last attempt got ahead; the count of tries begins anew then. Must not be true
   * forever.
   */
  readonly madeProgress?: () => boolean
  /**
   * After this time it is tried no third time, unless the server asked for it: what takes long to fail (a name server or a
   * host that does not answer) would take `triesMax` times as long. Undefined: time does not count.
   */
  readonly patienceMs?: number
}

/**
 * Runs `attempt` until it succeeds, fails for good, or has failed `triesMax` times in a row. Waits
 * with jitter, and never shorter than Retry-After asked: a wait that is too long to sit through is
 * given back as the error instead.
 */
export async function retrying<T>(context: RetryContext, attempt: () => Promise<T>): Promise<T> {
  const { clock, policy, signal, patienceMs = Number.POSITIVE_INFINITY } = context
  const startedMs = clock.now()
  for (let tries = 1; ; tries += 1) {
    signal.throwIfAborted()
    try {
      return await attempt()
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof RegistryError) || !error.isTemporary) throw error
      if (context.madeProgress?.() === true) tries = 1
      const isPatient = clock.now() - startedMs < patienceMs
      const random = clock.random()
      await clock.sleep(waitMs(error, policy, { tries, isPatient, random }), signal)
    }
  }
}

/** How long to wait after this failure; throws it when there is nothing to wait for. */
function waitMs(
  error: RegistryError,
  policy: RetryPolicy,
  attempts: { readonly tries: number; readonly isPatient: boolean; readonly random: number },
): number {
  const { tries, isPatient, random } = attempts
  const askedMs = error.retryAfterMs ?? 0
  if (askedMs > policy.retryAfterMsMax) {
    throw restated(error, `${error.reason}; the server asks to wait ${Math.ceil(askedMs / 1000)} s`)
  }
  const isOver = !isPatient && tries > 1 && error.retryAfterMs === undefined
  if (tries >= policy.triesMax || isOver) {
    throw tries === 1 ? error : restated(error, `${error.reason} (tried ${tries} times)`)
  }
  return Math.max(askedMs, backoffMs(policy, tries, random))
}

/**
 * Between half of and the whole exponential delay: clients that failed together do not come back
 * together.
 */
function backoffMs(policy: RetryPolicy, tries: number, random: number): number {
  const delayMs = Math.min(policy.delayMsFirst * 2 ** (tries - 1), policy.delayMsMax)
  return Math.round(delayMs * (0.5 + random / 2))
}

/**
 * Milliseconds that a Retry-After header asks to wait, in both its forms (RFC 9110, 10.2.3);
 * undefined when it has neither.
 */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined
  const text = value.trim()
  if (/^\d{1,15}$/.test(text)) return Number(text) * 1000
  // Date.parse also takes fragments such as "-1"; an HTTP date begins with the day's name.
  const atMs = /^[A-Za-z]{3,9},/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs)
}
