const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * The environment of a step: what was asked for, PATH when it is not in there (features row D60), and TERM with a terminal
 * (X22). HOME is added inside the sandbox, where the image's accounts are (X20). Nothing comes from the host (X19).
 */
export function sandboxEnvironment(env: readonly string[], hasTerminal: boolean): string[] {
  const complete = [...env]
  const has = (name: string): boolean => env.some((entry) => entry.startsWith(`${name}=`))
  if (!has('PATH')) complete.unshift(`PATH=${DEFAULT_PATH}`)
  if (hasTerminal && !has('TERM')) complete.push('TERM=xterm')
  return complete
}
