import type { StageImageConfig } from '../../frontend/index.ts'
import {
  type Descriptor,
  type DiffId,
  DOCKER_CONFIG,
  digestOf,
  type HistoryEntry,
  type ImageConfig,
  OCI_CONFIG,
  serializeImageConfig,
} from '../../registry-client/oci/index.ts'
import {
  assembleHistory,
  clampTime,
  fitBaseHistory,
  formatTime,
  type NewHistoryEntry,
} from './history.ts'

export interface ConfigParts {
  /** Config of the target stage: the base's with the Dockerfile's changes. */
  readonly stage: StageImageConfig
  readonly baseHistory: readonly HistoryEntry[]
  /** `created` of the base image, for an image that adds nothing with a time. */
  readonly baseCreated: string | undefined
  readonly baseLayerCount: number
  /** All layers, the base's first. */
  readonly diffIds: readonly DiffId[]
  readonly history: readonly NewHistoryEntry[]
  readonly epochSec: number | undefined
}

/**
 * The config of a finished image: the stage's config with `created`, `rootfs` and `history` (features rows O4-O8,
 * O13). Equal parts give equal bytes: nothing here asks for the time.
 */
export function assembleConfig(parts: ConfigParts): ImageConfig {
  const history = assembleHistory(
    fitBaseHistory(parts.baseHistory, parts.baseLayerCount),
    parts.history,
    parts.epochSec,
  )
  const last = history.findLast((entry) => entry.created !== undefined)?.created
  const created = last ?? parts.baseCreated
  const { created: _created, rootfs: _rootfs, history: _history, ...stage } = parts.stage
  const config: ImageConfig = {
    ...stage,
    rootfs: { type: 'layers', diff_ids: [...parts.diffIds] },
    history,
  }
  if (created !== undefined) {
    config.created = clampTime(created, parts.epochSec)
  } else if (parts.epochSec !== undefined) {
    config.created = formatTime(parts.epochSec * 1000)
  }
  return config
}

/** A config as bytes with its descriptor. The image id is its digest and depends on the content alone (O7). */
export function encodeConfig(
  config: ImageConfig,
  useOciMediaTypes: boolean,
): { readonly bytes: Uint8Array; readonly descriptor: Descriptor } {
  const bytes = serializeImageConfig(config)
  return {
    bytes,
    descriptor: {
      mediaType: useOciMediaTypes ? OCI_CONFIG : DOCKER_CONFIG,
      digest: digestOf(bytes),
      sizeBytes: bytes.byteLength,
    },
  }
}
