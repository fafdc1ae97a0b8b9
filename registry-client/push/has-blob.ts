import type { Access } from '../auth/authorizer.ts'
import { repositoryScope } from '../auth/scope.ts'
import { RegistryError } from '../errors.ts'
import type { HostClient } from '../host-client.ts'
import type { Descriptor } from '../oci/index.ts'

/**
 * HEAD of a blob. A size other than the descriptor's is a RegistryError `size-mismatch`: that is
 * not the same blob.
 */
export function hasBlob(
  host: HostClient,
  blob: { readonly repository: string; readonly descriptor: Descriptor; readonly access: Access },
  signal: AbortSignal,
): Promise<boolean> {
  const { repository, descriptor, access } = blob
  const request = {
    method: 'HEAD',
    target: `${repository}/blobs/${descriptor.digest}`,
    access,
    expect: [200, 404],
    lane: 'call',
  } as const
  return host.call(request, signal, async (response) => {
    if (response.status === 404) return false
    const length = response.header('content-length')
    if (length === undefined || Number(length) === descriptor.sizeBytes) return true
    const { host: name } = response.url
    const reason = `${name} holds blob ${descriptor.digest} with ${length} bytes instead of ${descriptor.sizeBytes}`
    throw new RegistryError('size-mismatch', reason, { host: name })
  })
}

export function pushAccess(repository: string): Access {
  return { repository, scopes: [repositoryScope(repository, 'pull', 'push')] }
}
