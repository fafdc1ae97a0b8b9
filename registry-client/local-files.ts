import { readdirSync, readFileSync } from 'node:fs'
import { RegistryError } from './errors.ts'

/** What "there is no such file" is called. */
const ABSENT: readonly string[] = ['ENOENT', 'ENOTDIR']

/** The text of a configuration file that somebody named. Throws RegistryError `bad-configuration`. */
export function readText(path: string): string {
  return reading(path, () => readFileSync(path, 'utf8'))
}

/** The same where a file may be; undefined when it is not there, or is one of `otherwise` (errno names). */
export function readTextIfThere(path: string, ...otherwise: readonly string[]): string | undefined {
  return reading(path, () => readFileSync(path, 'utf8'), [...ABSENT, ...otherwise])
}

/** The names in a directory, sorted; none when it is not there. Throws RegistryError `bad-configuration`. */
export function namesIn(directory: string): readonly string[] {
  return reading(directory, () => readdirSync(directory).sort(), ABSENT) ?? []
}

function reading<T>(path: string, read: () => T): T
function reading<T>(path: string, read: () => T, ignored: readonly string[]): T | undefined
function reading<T>(path: string, read: () => T, ignored: readonly string[] = []): T | undefined {
  try {
    return read()
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    if (ignored.includes(code)) return undefined
    throw new RegistryError('bad-configuration', `cannot read ${path} (${code})`, { cause })
  }
}
