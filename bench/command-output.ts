import { execFileSync } from 'node:child_process'
import { BenchError } from './errors.ts'

/** What a short command prints. Errors: `peer-missing`. */
export function commandOutput(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
): string {
  const [program = '', ...args] = argv
  try {
    return execFileSync(program, args, { env: { ...process.env, ...env }, encoding: 'utf8' })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new BenchError('peer-missing', `could not run ${argv.join(' ')}: ${reason}`)
  }
}
