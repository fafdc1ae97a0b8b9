import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { SandboxError } from './errors.ts'

const RELATIVE_PATH = 'snapshotter/native/build/Release/sandbox-init'

/** Path of the compiled sandbox-init, in the package that this file is part of. Errors: `sandbox-unavailable`. */
export function initProgram(): string {
  let directory = import.meta.dirname
  for (;;) {
    const candidate = join(directory, RELATIVE_PATH)
    if (existsSync(candidate)) return candidate
    const parent = dirname(directory)
    if (parent === directory) break
    directory = parent
  }
  throw new SandboxError(
    'sandbox-unavailable',
    `could not find sandbox-init: ${RELATIVE_PATH} is not built; run \`npm run build:native\` (it needs a C++ compiler)`,
  )
}
