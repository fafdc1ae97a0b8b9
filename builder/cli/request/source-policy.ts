import { UsageError } from '../errors.ts'

const VARIABLE = 'EXPERIMENTAL_BUILDKIT_SOURCE_POLICY'

/**
 * buildx reads a policy of sources (which images may be used, and what replaces them) from a file that a variable of the
 * environment names. Nothing here enforces one, and whoever sets it counts on it. Throws `UsageError`.
 */
export function refuseSourcePolicy(env: Readonly<Record<string, string | undefined>>): void {
  if ((env[VARIABLE] ?? '') !== '') {
    throw new UsageError(
      `${VARIABLE}: source policies are not supported; unset it to build without`,
    )
  }
}
