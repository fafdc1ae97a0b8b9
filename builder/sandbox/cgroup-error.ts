import { errnoOf } from '../../snapshotter/index.ts'
import { SandboxError } from './errors.ts'

/** What helps wherever control groups may not be written. */
const HELP =
  'limits need control groups that may be written: run as root, outside of a container or in a privileged one; ' +
  'as an ordinary user in a group that is delegated, as by: systemd-run --user --scope -p Delegate=yes tsbuild ...'

/** `sandbox-limit-unsupported`: what could not be done to which group, and what would help. */
export function cannotLimit(what: string, cause?: unknown, help: string = HELP): SandboxError {
  const reason = cause === undefined ? '' : `: ${errnoOf(cause) ?? String(cause)}`
  return new SandboxError(
    'sandbox-limit-unsupported',
    `could not limit the step: ${what}${reason}; ${help}`,
    { cause },
  )
}
