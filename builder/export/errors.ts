/**
 * - `destination-unusable`: the file or directory to write to cannot be used
 * - `export-unsupported`: the output type cannot hold this result
 * - `engine-failed`: the container engine did not take the image
 * - `image-invalid`: an archive or layout is not a sound image
 */
export type ExportErrorCode =
  | 'destination-unusable'
  | 'export-unsupported'
  | 'engine-failed'
  | 'image-invalid'

/** An output could not be written, or an archive not be read. */
export class ExportError extends Error {
  override readonly name = 'ExportError'
  readonly code: ExportErrorCode

  constructor(code: ExportErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}
