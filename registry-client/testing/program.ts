import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { testCachePath } from './test-cache.ts'

/** A program of Debian that some tests talk to. */
export interface TestProgram {
  readonly name: string
  /** The package that has it. */
  readonly debianPackage: string
}

export const CRANE: TestProgram = { name: 'crane', debianPackage: 'crane' }
export const ORAS: TestProgram = { name: 'oras', debianPackage: 'oras' }

/**
 * Path of a program: installed (servers lie where the PATH of users does not lead), or unpacked by `fetchPrograms`.
 * Undefined when it is neither.
 */
export function programPath({ name }: TestProgram): string | undefined {
  const ofUsers = (process.env['PATH'] ?? '').split(delimiter)
  const directories = [...ofUsers, '/usr/sbin', '/sbin', join(unpackedProgram(name), 'usr/bin')]
  return directories.map((directory) => join(directory, name)).find((path) => existsSync(path))
}

/** Where the package of a program is unpacked that this machine's Debian does not have. */
export function unpackedProgram(name: string): string {
  return testCachePath(`program-${name}`)
}

/**
 * For a suite's `before`: skips it, naming the package, where a program is not installed; with
 * TSBUILD_MUST_WORK=1 that is a failure.
 */
export function requireProgram(context: Mocha.Context, program: TestProgram): void {
  if (programPath(program) !== undefined) return
  if (process.env['TSBUILD_MUST_WORK'] === '1') throw notInstalled(program)
  process.stderr.write(`skipped: ${notInstalled(program).message}\n`)
  context.skip()
}

export function notInstalled({ name, debianPackage }: TestProgram): Error {
  return new Error(`${name} is not installed: apt-get install ${debianPackage}`)
}
