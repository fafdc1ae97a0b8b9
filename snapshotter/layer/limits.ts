import type { ReadLayerOptions } from '../native/kernel-types.ts'

/** What no real layer or archive comes near; a bomb stops here (`Kernel.readLayer`). */
export const ARCHIVE_LIMITS: ReadLayerOptions['limits'] = {
  uncompressedSizeBytesMax: 2 ** 40,
  entryCountMax: 20_000_000,
}
