import type { DiffId } from './digest.ts'

/**
 * HEALTHCHECK as Docker stores it; durations in nanoseconds (Docker extension of the OCI config).
 */
export interface Healthcheck {
  readonly Test?: readonly string[]
  readonly Interval?: number
  readonly Timeout?: number
  readonly StartPeriod?: number
  readonly StartInterval?: number
  readonly Retries?: number
}

/**
 * The `config` object of an image config: names are those of the JSON (OCI image-spec config.md +
 * Docker's extensions).
 */
export interface ContainerConfig {
  User?: string
  ExposedPorts?: Record<string, Record<string, never>>
  Env?: string[]
  Entrypoint?: string[]
  Cmd?: string[]
  Volumes?: Record<string, Record<string, never>>
  WorkingDir?: string
  Labels?: Record<string, string>
  StopSignal?: string
  Healthcheck?: Healthcheck
  ArgsEscaped?: boolean
  OnBuild?: string[]
  Shell?: string[]
  /** Keys we do not know survive a build unchanged (features row D143, O4). */
  [unknownKey: string]: unknown
}

export interface HistoryEntry {
  created?: string
  author?: string
  created_by?: string
  comment?: string
  empty_layer?: boolean
}

/** An image config as JSON (OCI image-spec config.md). Unknown keys survive. */
export interface ImageConfig {
  created?: string
  author?: string
  architecture: string
  variant?: string
  os: string
  'os.version'?: string
  config: ContainerConfig
  rootfs: { type: 'layers'; diff_ids: DiffId[] }
  history: HistoryEntry[]
  [unknownKey: string]: unknown
}
