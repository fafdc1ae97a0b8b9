import type { ParsedDockerfile } from '../../dockerfile.ts'
import type { Finding } from '../rule.ts'
import { aptUpdateFindings } from './apt-update.ts'
import { copyBeforeInstallFindings } from './copy-before-install.ts'
import { floatingBaseFindings } from './floating-base.ts'
import { secretFileFindings } from './secret-file.ts'
import { volatileArgFindings } from './volatile-arg.ts'

/**
 * What rules find that BuildKit does not have. They look at the text only, and rather miss something than say what is not
 * so. Only `tsbuild check` shows them: builds and `--check` say what BuildKit says.
 */
export function ownFindings(parsed: ParsedDockerfile): Finding[] {
  return [
    ...aptUpdateFindings(parsed),
    ...copyBeforeInstallFindings(parsed),
    ...secretFileFindings(parsed),
    ...floatingBaseFindings(parsed),
    ...volatileArgFindings(parsed),
  ]
}
