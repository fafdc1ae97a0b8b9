import { packageFile } from '../../snapshotter/index.ts'
import { SandboxError } from './errors.ts'

const RELATIVE_PATH = 'snapshotter/native/build/Release/sandbox-init'

/** Path of the compiled sandbox-init, in the package that this file is part of. Errors: `sandbox-unavailable`. */
export function initProgram(): string {
  const program = packageFile(RELATIVE_PATH)
  if (program !== undefined) return program
  throw new SandboxError(
    'sandbox-unavailable',
    `could not find sandbox-init: ${RELATIVE_PATH} is not built; run \`npm run build:native\` (it needs a C++ compiler)`,
  )
}
