import {
  formatReference,
  OciError,
  parseReference,
  type Reference,
} from '../../../registry-client/oci/index.ts'
import { UsageError } from '../errors.ts'

/** Before the name of an image that is in a registry, where names of the local store are meant without it. */
export const REMOTE = 'docker://'

/** A name of an image given on the command line. Throws `UsageError` that says what is wrong with it. */
export function readReference(text: string, what: string): Reference {
  try {
    return parseReference(text)
  } catch (error) {
    if (error instanceof OciError) {
      throw new UsageError(`invalid ${what}: ${error.message}`, { cause: error })
    }
    throw error
  }
}

/** A name in a registry, with or without `docker://`. Throws `UsageError`. */
export function readRemoteReference(text: string, what: string): Reference {
  return readReference(text.startsWith(REMOTE) ? text.slice(REMOTE.length) : text, what)
}

/** Whether a name says which image of its repository is meant; without it is the one tagged `latest`. */
export function hasTagOrDigest(text: string): boolean {
  return /@|:[^/]+$/.test(text)
}

/** A name to give to an image, normalised to `host/repository:tag`; digests cannot be given (features row C14). */
export function readTag(text: string, what = 'tag'): string {
  const reference = readReference(text, what)
  if (reference.digest !== undefined) {
    throw new UsageError(
      `invalid ${what}: "${text}" has a digest; a name to give ends with a tag at most`,
    )
  }
  return formatReference(reference)
}
