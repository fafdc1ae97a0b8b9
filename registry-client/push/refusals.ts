import { RegistryError } from '../errors.ts'

/** What registries that know chunks only say to a PUT of everything: Nexus, Artifactory. */
const CHUNKS_ONLY = new Set([
  '400 BLOB_UPLOAD_INVALID',
  '404 BLOB_UNKNOWN',
  '404 BLOB_UPLOAD_UNKNOWN',
])

/** Too large for one request, or a registry that knows chunks only. */
export function wantsChunks(error: unknown): boolean {
  if (!(error instanceof RegistryError)) return false
  if (error.code === 'too-large' || error.code === 'unsupported') return true
  return CHUNKS_ONLY.has(`${error.status} ${error.registryCode}`)
}

/** With 416 GitHub means that a chunk is too large; nothing can be out of step at the beginning. */
export function isTooLarge({ code, status, reason }: RegistryError, start: number): boolean {
  if (code === 'too-large') return true
  return status === 416 && (start === 0 || /too large|exceed/i.test(reason))
}

/** The registry does not know of PATCH, or not of it in this place. */
export function isRefused({ code, status }: RegistryError): boolean {
  return code === 'unsupported' || status === 400 || status === 404 || status === 416
}

export function isWrongDigest(error: unknown): error is RegistryError {
  return error instanceof RegistryError && error.registryCode === 'DIGEST_INVALID'
}
