import type { HostClient } from '../host-client.ts'
import { pushAccess } from './has-blob.ts'
import { beginUpload, cancelUpload } from './upload-session.ts'

/**
 * Makes sure that a repository takes uploads from this account: begins one and cancels it (features rows R46, R50).
 * Throws RegistryError: `unauthorized`, `denied`, `not-found` where nobody made the project.
 */
export async function checkPush(
  host: HostClient,
  repository: string,
  signal: AbortSignal,
): Promise<void> {
  const access = pushAccess(repository)
  const session = await beginUpload(host, { repository, access, signal })
  if (session === 'mounted') return
  await cancelUpload(host, session, { access, signal })
}
