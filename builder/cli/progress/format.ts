const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** Bytes for people, powers of 1000 as registries and docker show them: `28B`, `1.05MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 ? Math.round(value) : trimZeros(value.toPrecision(3))}${UNITS[unit]}`
}

/** `1.2s`, and from a minute on `1m05s`. */
export function formatSeconds(ms: number): string {
  const seconds = Math.max(0, ms) / 1000
  if (seconds < 60) {
    return `${seconds.toFixed(1)}s`
  }
  const whole = Math.floor(seconds)
  return `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, '0')}s`
}

/** Seconds since a step began, in the precision that log lines have: `0.069`, `12.34`, `123.4`. */
export function formatLogTime(ms: number): string {
  const seconds = Math.max(0, ms) / 1000
  return seconds < 10 ? seconds.toFixed(3) : seconds < 100 ? seconds.toFixed(2) : seconds.toFixed(1)
}

/** `3.2MB / 7.1MB`, or what has moved when the total is not known. */
export function formatAmount(currentBytes: number, totalBytes: number | undefined): string {
  return totalBytes === undefined
    ? formatBytes(currentBytes)
    : `${formatBytes(currentBytes)} / ${formatBytes(totalBytes)}`
}

function trimZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}
