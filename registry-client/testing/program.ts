import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** A server program of Debian that some tests talk to. */
export interface TestProgram {
  readonly name: string
  /** The package that has it. */
  readonly debianPackage: string
}

/** Path of a program; servers lie where the PATH of users does not lead. Undefined when it is not installed. */
export function programPath({ name }: TestProgram): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return directories.map((directory) => join(directory, name)).find((path) => existsSync(path))
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
