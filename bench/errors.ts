/** Why a comparison could not be made. */
export class BenchError extends Error {
  override readonly name = 'BenchError'
  readonly code: 'usage' | 'command-failed' | 'peer-missing'

  constructor(code: BenchError['code'], message: string) {
    super(message)
    this.code = code
  }
}
