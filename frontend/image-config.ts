/** HEALTHCHECK as stored in the image; durations in nanoseconds. */
export interface StageHealthcheck {
  readonly Test?: readonly string[]
  readonly Interval?: number
  readonly Timeout?: number
  readonly StartPeriod?: number
  readonly StartInterval?: number
  readonly Retries?: number
}

/** `config` of an image as JSON; structurally equal to the registry client's `ContainerConfig`. */
export interface StageContainerConfig {
  User?: string
  ExposedPorts?: Record<string, Record<string, never>>
  Env?: string[]
  Entrypoint?: string[]
  Cmd?: string[]
  Volumes?: Record<string, Record<string, never>>
  WorkingDir?: string
  Labels?: Record<string, string>
  StopSignal?: string
  Healthcheck?: StageHealthcheck
  ArgsEscaped?: boolean
  OnBuild?: string[]
  Shell?: string[]
  [unknownKey: string]: unknown
}

/** The part of an image config that a Dockerfile decides. The builder adds created, rootfs and history. */
export interface StageImageConfig {
  author?: string
  architecture: string
  variant?: string
  os: string
  'os.version'?: string
  config: StageContainerConfig
  [unknownKey: string]: unknown
}
