const SECRET =
  /(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)/i
const HARMLESS = /(?:_|^)(?:public|file|version)(?:_|$)/i

/** True when a variable's name says that its value is a secret (features row L16). */
export function looksSecret(name: string): boolean {
  return SECRET.test(name) && !HARMLESS.test(name)
}
