import { UsageError } from '../errors.ts'

const FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
}

/** Bytes of a size such as `64m`, `1.5GiB`, `1073741824`; units are powers of 1024, as for docker's memory sizes. */
export function readSizeBytes(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text)
  const factor = match === null ? undefined : FACTORS[(match[2] ?? '').toLowerCase()]
  if (match === null || factor === undefined) {
    throw new UsageError(
      `invalid argument "${text}" for "--${flag}" flag: invalid size: '${text}' (write it as 64m or 1g)`,
    )
  }
  return Math.floor(Number(match[1]) * factor)
}

/** Bytes of `--shm-size`; undefined, that is the default: no size was given, or 0, as in Docker. */
export function readShmSizeBytes(text: string | undefined): number | undefined {
  return text === undefined ? undefined : readSizeBytes(text, 'shm-size') || undefined
}

const SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 }

/** Milliseconds of a Go duration such as `24h` or `1h30m`; days (`7d`) are allowed too. */
export function readDurationMs(text: string, flag: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/gy)]
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) {
    throw new UsageError(
      `invalid argument "${text}" for "--${flag}" flag: it is no duration (write it as 24h or 90m)`,
    )
  }
  return parts.reduce(
    (sum, [, amount, unit]) => sum + Number(amount) * 1000 * (SECONDS[unit ?? ''] ?? 0),
    0,
  )
}
