/**
 * A URL for messages: no user, no password, no query (signed storage URLs carry keys there), no
 * fragment.
 */
export function redactUrl(url: URL): string {
  return `${url.origin}${url.pathname}`
}

/**
 * `text` with control characters removed and cut to `lengthMax`, every secret in `secrets` masked,
 * and query strings of URLs dropped: what a server says may be shown, what it echoes may not.
 */
export function redactText(text: string, secrets: readonly string[] = [], lengthMax = 500): string {
  let safe = flat(text)
  for (const secret of secrets) {
    // Masking one or two characters would garble every message and protect nothing.
    if (secret.length > 2) safe = safe.replaceAll(flat(secret), '***')
  }
  safe = safe
    .replaceAll(/(https?:\/\/)[^\s/@]*@/g, '$1')
    .replaceAll(/(https?:\/\/[^\s?"'<>]+)\?[^\s"'<>]*/g, '$1')
  safe = safe.replaceAll(/\b(Basic|Bearer)\s+[A-Za-z0-9+/=._~-]{8,}/gi, '$1 ***')
  return safe.length > lengthMax ? `${safe.slice(0, lengthMax)}…` : safe.trim()
}

function flat(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
}
