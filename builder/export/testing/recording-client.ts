import type { RegistryClient } from '../../../registry-client/index.ts'
import type { Reference } from '../../../registry-client/oci/index.ts'

/** A call of the recording client. */
export interface PushCall {
  readonly kind: 'blob' | 'manifest'
  readonly place: Reference
  readonly mountFrom?: readonly string[] | undefined
}

/** A registry that takes everything and remembers it; `check` may throw to refuse. */
export function recordingClient(check: (place: Reference) => void = () => {}): {
  readonly client: Pick<
    RegistryClient,
    'beginBlob' | 'checkPush' | 'hasBlob' | 'pushBlob' | 'pushManifest'
  >
  readonly calls: readonly PushCall[]
} {
  const calls: PushCall[] = []
  return {
    calls,
    client: {
      beginBlob: () => ({ finish: async () => undefined, [Symbol.asyncDispose]: async () => {} }),
      checkPush: async (place) => check(place),
      hasBlob: async () => false,
      pushBlob: async (place, _source, { mountFrom }) => {
        check(place)
        calls.push({ kind: 'blob', place, mountFrom })
        return { kind: 'existing' }
      },
      pushManifest: async (place, manifest) => {
        check(place)
        calls.push({
          kind: 'manifest',
          place: { ...place, digest: place.tag === undefined ? manifest.digest : undefined },
        })
      },
    },
  }
}
