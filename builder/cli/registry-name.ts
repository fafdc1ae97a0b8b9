import { DEFAULT_REGISTRY, OciError, parseReference } from '../../registry-client/oci/index.ts'
import { UsageError } from './errors.ts'

/** The registry that `login` and `logout` are about: Docker Hub when none is named; schemes and paths are cut off. */
export function readRegistryName(text: string | undefined): string {
  if (text === undefined || text === '') {
    return DEFAULT_REGISTRY
  }
  const host = text.replace(/^https?:\/\//, '').replace(/\/.*$/s, '')
  if (['index.docker.io', 'registry-1.docker.io', DEFAULT_REGISTRY].includes(host)) {
    return DEFAULT_REGISTRY
  }
  try {
    // A host without a dot or port is only one when it is `localhost`; a path makes the reading plain.
    const { registry } = parseReference(`${host}/x`)
    if (registry === host) {
      return registry
    }
  } catch (error) {
    if (!(error instanceof OciError)) {
      throw error
    }
  }
  throw new UsageError(
    `invalid registry "${text}": write a host name with a dot or a port, such as registry.example:5000`,
  )
}
