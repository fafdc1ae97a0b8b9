import type { LayerFormat } from '../request.ts'

/** What `docker buildx build` writes when nothing else is asked for (features rows C72, C73). */
export const FORMAT_DEFAULT: LayerFormat = {
  compression: 'gzip',
  level: undefined,
  isForced: false,
  useOciMediaTypes: true,
  rewriteTimestamp: false,
}

/** Layers that are only read back need no compression. */
export const READ_BACK_FORMAT: LayerFormat = { ...FORMAT_DEFAULT, compression: 'uncompressed' }
