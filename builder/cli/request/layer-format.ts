import type { Compression } from '../../../registry-client/oci/index.ts'
import type { LayerFormat } from '../../request.ts'
import { readBoolean } from '../args.ts'
import { UsageError } from '../errors.ts'

/** Attributes of one `--output`, taken out as they are understood; what is left is unknown. */
export class OutputAttributes {
  readonly #left: Map<string, string>

  constructor(attributes: ReadonlyMap<string, string>) {
    this.#left = new Map(attributes)
  }

  text(key: string): string | undefined {
    const value = this.#left.get(key)
    this.#left.delete(key)
    return value
  }

  /** A key without a value means true, as in BuildKit. */
  boolean(key: string): boolean | undefined {
    const text = this.text(key)
    if (text === undefined) {
      return undefined
    }
    const value = text === '' ? true : readBoolean(text)
    if (value === undefined) {
      throw new UsageError(`invalid output: ${key}=${text} must be true or false`)
    }
    return value
  }

  /** What is left is not looked at. */
  ignoreOthers(): void {
    this.#left.clear()
  }

  /** Keys nobody asked for. */
  get unknownKeys(): readonly string[] {
    return [...this.#left.keys()]
  }

  entries(): [string, string][] {
    return [...this.#left]
  }
}

/**
 * `compression`, `compression-level`, `force-compression`, `oci-mediatypes`, `rewrite-timestamp` (features rows C72, C73, C76).
 * OCI's media types are the default of every type, as in BuildKit since v0.31; a Docker archive is read by its `manifest.json`.
 * Throws `UsageError`.
 */
export function readLayerFormat(attributes: OutputAttributes): LayerFormat {
  const compression = readCompression(attributes.text('compression'))
  const level = readLevel(attributes.text('compression-level'), compression)
  const useOciMediaTypes = attributes.boolean('oci-mediatypes') ?? true
  if (compression === 'zstd' && !useOciMediaTypes) {
    throw new UsageError('invalid output: compression=zstd needs oci-mediatypes=true')
  }
  return {
    compression,
    level,
    isForced: attributes.boolean('force-compression') ?? false,
    useOciMediaTypes,
    rewriteTimestamp: attributes.boolean('rewrite-timestamp') ?? false,
  }
}

function readCompression(text: string | undefined): Compression {
  switch (text) {
    case undefined:
      return 'gzip'
    case 'gzip':
    case 'zstd':
    case 'uncompressed':
      return text
    default:
      throw new UsageError(
        `invalid output: compression "${text}" is not supported (known: gzip, zstd, uncompressed)`,
      )
  }
}

function readLevel(text: string | undefined, compression: Compression): number | undefined {
  if (text === undefined || text === '-1') {
    return undefined
  }
  const max = compression === 'zstd' ? 22 : 9
  const level = /^\d+$/.test(text) ? Number(text) : NaN
  if (!(level <= max)) {
    throw new UsageError(
      `invalid output: compression-level=${text} must be a number from 0 to ${max}`,
    )
  }
  // zstd itself has no level 0: as in BuildKit it is the fastest one.
  return compression === 'zstd' ? Math.max(level, 1) : level
}
