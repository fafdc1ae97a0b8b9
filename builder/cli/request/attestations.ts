import type { ParsedArgs } from '../args.ts'
import { readBoolean } from '../args.ts'
import { UsageError } from '../errors.ts'
import { readCsvPairs } from './csv.ts'

/**
 * `--provenance`, `--sbom` and `--attest`: images are made without attestations, so only values that ask for none are
 * accepted. Throws `UsageError` for the others.
 */
export function refuseAttestations(args: ParsedArgs): void {
  for (const flag of ['provenance', 'sbom'] as const) {
    const text = args.text(flag)
    if (
      text !== undefined &&
      text !== '' &&
      text !== 'disabled' &&
      readBoolean(text) !== false &&
      !isDisabled(text)
    ) {
      throw notSupported(`--${flag}=${text}`, `--${flag}=false`)
    }
  }
  for (const text of args.list('attest')) {
    if (!isDisabled(text)) {
      throw notSupported(`--attest=${text}`, 'disabled=true')
    }
  }
}

function isDisabled(text: string): boolean {
  return readCsvPairs(text).some(
    ({ key, value }) => key === 'disabled' && readBoolean(value ?? 'true') === true,
  )
}

function notSupported(given: string, accepted: string): UsageError {
  return new UsageError(
    `${given}: attestations are not supported; leave the flag out or write ${accepted}`,
  )
}
