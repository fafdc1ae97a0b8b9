import type { Kernel, Store } from '../snapshotter/index.ts'
import type { CachePushClient } from './cache/remote/export-cache.ts'
import type { BuildEventSink } from './events.ts'
import type { ExportOutcome, Exporter } from './export/exporter.ts'
import type { BuildResult } from './image/built-image.ts'
import type { ImageStore } from './image/image-store.ts'
import type { RegistrySource } from './ops/image-source.ts'
import type { FailedStepKeeper } from './ops/keep-failed.ts'
import type { FirstUse, Worker } from './worker/protocol.ts'

/** What `build(request, services)` works with; the command line makes it, tests pass fakes. */
export interface BuildServices {
  /** Open state root; the caller disposes it after the build. */
  readonly store: Store
  readonly images: ImageStore
  readonly kernel: Kernel
  /** Called at most once, when something must execute or unpack; `build` disposes the worker. */
  readonly startWorker: (signal: AbortSignal, use: FirstUse) => Promise<Worker>
  readonly registry: () => Promise<RegistrySource & CachePushClient>
  /** In the order of the request's outputs. */
  readonly exporters: readonly Exporter[]
  readonly events: BuildEventSink
  /** Keeps what a failed RUN left, for a shell in it; without it nothing is kept. */
  readonly failedSteps?: FailedStepKeeper
  /** Environment of the command: SSH_AUTH_SOCK and `--secret env=`. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
  /** Wall clock, for `created`; tests inject it. */
  readonly nowMs?: () => number
}

export interface BuildOutcome {
  /** What `toldOutput` got; when there is no such output, in the format of the first one. */
  readonly result: BuildResult
  /** One for each exporter, in order; undefined for those that need nothing (`cacheonly`). */
  readonly exports: readonly (ExportOutcome | undefined)[]
}
