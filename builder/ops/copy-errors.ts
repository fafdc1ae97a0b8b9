/**
 * Why COPY, ADD or WORKDIR could not be done. Messages hold the words that BuildKit uses for the same failure, since
 * people search for them.
 *
 * - `source-missing`: nothing at a literal source, or at the part of a pattern before its first wildcard
 * - `copy-conflict`: a directory where a file has to go, a file where a directory has to be
 * - `too-many-links`: a path that goes through more than 255 symlinks
 * - `bad-owner`, `bad-mode`: --chown and --chmod that mean nothing
 * - `bad-archive`: an archive of ADD that would write outside its destination
 * - `reserved-name`: a file whose name begins with `.wh.`: a layer cannot hold it (features row O17)
 * - `download-failed`, `checksum-mismatch`: ADD of a URL
 * - `git-failed`, `git-missing`: ADD of a repository
 */
export type CopyErrorCode =
  | 'source-missing'
  | 'copy-conflict'
  | 'too-many-links'
  | 'bad-owner'
  | 'bad-mode'
  | 'bad-archive'
  | 'reserved-name'
  | 'download-failed'
  | 'checksum-mismatch'
  | 'git-failed'
  | 'git-missing'

export class CopyError extends Error {
  override readonly name = 'CopyError'
  readonly code: CopyErrorCode

  constructor(code: CopyErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options)
    this.code = code
  }
}
