import type { Compression, DiffId, Digest } from '../../registry-client/oci/index.ts'
import type {
  ArrivingBlob,
  DiffEntry,
  LayerDirectory,
  LayerPath,
  PackEntry,
  PackResult,
} from '../../snapshotter/index.ts'

/**
 * What the worker does for the planner. The worker is one process in its own mount namespace (and user namespace when not
 * root), started on first use; everything that needs a privilege or a mount happens there. The calls travel as messages
 * over an inherited channel (`client.ts` <-> `main.ts`); each takes a signal, and a worker that dies fails every call with
 * `worker-died` and its last words.
 */
export interface Worker extends AsyncDisposable {
  readonly info: WorkerInfo
  /** Unpacks a layer blob into `<directory>/fs` and writes its table of contents. Errors: `bad-archive`, `digest-mismatch`, `diff-id-mismatch`. `onMoved` is told now and then how much of the blob is done. */
  unpackLayer(
    request: UnpackRequest,
    signal: AbortSignal,
    onMoved?: (bytes: number) => void,
  ): Promise<UnpackResult>
  /** Runs one process over layers. A non-zero exit is a value, not an error; errors are about what kept it from starting (`sandbox-*`). */
  run(request: RunRequest, output: OutputSink, signal: AbortSignal): Promise<RunResult>
  /** Packs the diff of a committed run (may be called while later runs are under way); writes blob and table of contents. */
  packRun(request: PackRunRequest, signal: AbortSignal): Promise<PackResult>
  /** Some of what a committed run wrote, sorted; undefined when it is packed already. */
  readDiff(request: ReadDiffRequest, signal: AbortSignal): Promise<DiffPage | undefined>
  /**
   * Makes `<directory>/fs` of entries that the planner chose: what unpacking their tar would make. Not where owners are
   * recorded beside the files (`userns-single-id`). `onMade` is told of each batch when its files are there with all their
   * bytes; directories get their times at the end.
   */
  makeLayer(
    entries: AsyncIterable<readonly PackEntry[]>,
    request: MakeLayerRequest,
    signal: AbortSignal,
    onMade?: () => void,
  ): Promise<void>
  /** Packs entries that the planner chose (COPY --from): sources are paths below layer directories. Streams `entries` in batches. */
  packEntries(
    entries: AsyncIterable<readonly PackEntry[]>,
    request: PackTarget,
    signal: AbortSignal,
  ): Promise<PackResult>
  /** Reads whole small files below layer directories (bounded; for /etc/passwd, Dockerfile of a context layer ...). */
  readFile(
    root: LayerDirectory,
    path: LayerPath,
    sizeBytesMax: number,
    signal: AbortSignal,
  ): Promise<Uint8Array>
  /** Removes trees that an ordinary user could not (files owned by sub-ids). */
  removeTrees(paths: readonly string[], signal: AbortSignal): Promise<void>
  /** Bytes of the files of trees that an ordinary user could not read, in the order of `paths`. */
  treeSizes(paths: readonly string[], signal: AbortSignal): Promise<readonly number[]>
}

/** What a worker is started for, so that it can be made ready meanwhile. */
export interface FirstUse {
  /** A step with the default network. */
  readonly needsNetwork?: boolean
}

/** Which rung of the rootless ladder was taken (design.md) and what it costs, in one line. */
export interface WorkerInfo {
  readonly rung: 'root' | 'userns-subids' | 'userns-single-id' | 'no-namespaces'
  readonly driver: 'overlay' | 'copy'
  /** One line for the user; undefined when nothing is lost. */
  readonly notice: string | undefined
}

export interface UnpackRequest {
  readonly blob: string
  /** The blob is still being downloaded: it is unpacked as its bytes come. Undefined: it is there. */
  readonly arriving?: ArrivingBlob | undefined
  readonly compression: Compression | 'auto'
  readonly expect: { readonly diffId: DiffId; readonly digest: Digest | undefined }
  /** New directory to make (its parent exists). Nothing is left of it on failure. */
  readonly directory: string
  /** File to write the table of contents to. */
  readonly contents: string
  /** As in PackOptions. */
  readonly partsTable?: string | undefined
}

export interface UnpackResult {
  readonly uncompressedSizeBytes: number
}

export type OutputSink = (stream: 'stdout' | 'stderr', bytes: Uint8Array) => void

export interface RunRequest {
  /** Bottom first; empty = scratch. */
  readonly layers: readonly LayerDirectory[]
  readonly args: readonly string[]
  /** Complete environment except what the sandbox adds when absent (PATH, HOME, HOSTNAME). */
  readonly env: readonly string[]
  readonly cwd: string
  /** `user[:group]` as in USER; looked up in the sandbox's own /etc/passwd and /etc/group (features row D90, X57). */
  readonly user: string
  readonly hostname: string
  readonly network: 'default' | 'none' | 'host'
  readonly security: 'sandbox' | 'insecure'
  readonly mounts: readonly SandboxMount[]
  /** `address`: an IP address, or `host-gateway` for this machine as the step reaches it. */
  readonly extraHosts: readonly { readonly name: string; readonly address: string }[]
  readonly ulimits: readonly {
    readonly name: string
    readonly soft: number
    readonly hard: number
  }[]
  readonly shmSizeBytes: number
  readonly cgroupParent: string | undefined
  readonly limits: ResourceLimits
  /** `terminal`: the worker's own stdin/stdout/stderr are given to the process (`tsbuild run -it`). */
  readonly stdio: 'captured' | 'inherited' | 'terminal'
  /** New layer directory that the writes become; undefined: they are thrown away. */
  readonly commitTo: string | undefined
  /** New layer directory that the writes become when the process failed: for a shell in the step. */
  readonly keepFailedIn?: string
}

/** What the worker itself is asked: the groups of the limits are made outside of it. */
export type StepRequest = Omit<RunRequest, 'cgroupParent' | 'limits'> & {
  /** `cgroup.procs` files that the step joins. */
  readonly cgroupProcs: readonly string[]
}

export interface ResourceLimits {
  readonly memoryBytes?: number
  readonly memorySwapBytes?: number
  readonly cpuShares?: number
  readonly cpuPeriodUs?: number
  readonly cpuQuotaUs?: number
  readonly cpusetCpus?: string
  readonly cpusetMems?: string
  readonly pidsMax?: number
}

export type SandboxMount =
  /** A path inside a stack of layers; writes are possible unless read-only, and thrown away (features row D68). */
  | {
      readonly type: 'layers'
      readonly target: string
      readonly layers: readonly LayerDirectory[]
      readonly source: string
      readonly isReadonly: boolean
    }
  /** A directory of ours (cache mount) or of the user (`run -v`); `source` is resolved below it by descriptor. */
  | {
      readonly type: 'directory'
      readonly target: string
      readonly directory: string
      readonly source: string
      readonly isReadonly: boolean
    }
  | {
      readonly type: 'tmpfs'
      readonly target: string
      readonly sizeBytes: number | undefined
      readonly isReadonly: boolean
    }
  /** Bytes in a tmpfs (secrets, heredoc scripts), never on disk. */
  | {
      readonly type: 'file'
      readonly target: string
      readonly content: Uint8Array
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }
  /** A unix socket of the host (ssh agent). */
  | {
      readonly type: 'socket'
      readonly target: string
      readonly socket: string
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }

export interface RunResult {
  readonly exitCode: number
  /** Set when a signal ended the process; exitCode is then 128 + signal (features row X37). */
  readonly signal: number | undefined
  readonly isOutOfMemory: boolean
  readonly cpuTimeMs: number
  readonly peakMemoryBytes: number | undefined
  /** Names the committed diff for `packRun`; set when `commitTo` was given and exitCode is 0. */
  readonly diff: string | undefined
  /** The diff has directories that took the place of others: packing it needs `parentContents`. */
  readonly hidesDirectories: boolean
  /** What became of `keepFailedIn`: the bytes in its files, or why there is none; undefined when it was not to be. */
  readonly failedFiles?: { readonly sizeBytes: number } | { readonly error: string }
}

/** What the worker knows of it; memory is counted in the group. */
export type StepResult = Omit<RunResult, 'isOutOfMemory'>

export interface ReadDiffRequest {
  /** As in RunResult. */
  readonly diff: string
  /** From 0. */
  readonly page: number
}

export interface DiffPage {
  /** In the order of tables of contents; may hold opaque marks. */
  readonly entries: readonly DiffEntry[]
  readonly pageCount: number
}

export interface MakeLayerRequest {
  /** New directory to make (its parent exists). Nothing is left of it on failure. */
  readonly directory: string
}

export interface PackTarget {
  /** Blob file to create; undefined: only the diffId and the contents. */
  readonly output: string | undefined
  readonly compression: Compression
  readonly level: number | undefined
  /** File to write the table of contents to. */
  readonly contents: string
  /** As in PackOptions. */
  readonly partsTable?: string | undefined
}

export interface PackRunRequest extends PackTarget {
  readonly diff: string
  /**
   * Tables of contents of the layers below, bottom first: an opaque directory becomes explicit whiteouts (features row
   * O18). Needed only when the run `hidesDirectories`.
   */
  readonly parentContents: readonly string[]
}
