import type { LayerDirectory, LayerPath, PackEntry, PackResult } from '../../snapshotter/index.ts'
import type {
  DiffPage,
  MakeLayerRequest,
  PackRunRequest,
  PackTarget,
  ReadDiffRequest,
  StepRequest,
  StepResult,
  UnpackRequest,
  UnpackResult,
  WorkerInfo,
} from './protocol.ts'

/** The worker's calls as they travel: one request, one result. */
export interface WorkerCalls {
  readonly unpackLayer: { readonly request: UnpackRequest; readonly result: UnpackResult }
  readonly run: { readonly request: StepRequest; readonly result: StepResult }
  readonly packRun: { readonly request: PackRunRequest; readonly result: PackResult }
  readonly readDiff: { readonly request: ReadDiffRequest; readonly result: DiffPage | undefined }
  readonly makeLayer: { readonly request: MakeLayerRequest; readonly result: undefined }
  readonly packEntries: { readonly request: PackTarget; readonly result: PackResult }
  readonly readFile: { readonly request: ReadFileRequest; readonly result: Uint8Array }
  readonly removeTrees: {
    readonly request: { readonly paths: readonly string[] }
    readonly result: undefined
  }
  readonly treeSizes: {
    readonly request: { readonly paths: readonly string[] }
    readonly result: readonly number[]
  }
}

export type CallName = keyof WorkerCalls

export interface ReadFileRequest {
  readonly root: LayerDirectory
  readonly path: LayerPath
  readonly sizeBytesMax: number
}

/**
 * Planner to worker. `cancel` aborts a call, which then still answers. Entries of `packEntries` and `makeLayer` follow it in batches;
 * each is answered by `more` when it is done with, and there is room for another.
 */
export type ToWorker =
  | {
      readonly type: 'call'
      readonly id: number
      readonly call: {
        [N in CallName]: { readonly name: N; readonly request: WorkerCalls[N]['request'] }
      }[CallName]
    }
  | { readonly type: 'cancel'; readonly id: number }
  | { readonly type: 'entries'; readonly id: number; readonly batch: readonly PackEntry[] }
  | { readonly type: 'entries-end'; readonly id: number }
  /** The window of the terminal has a new size. */
  | { readonly type: 'resize' }

/** Worker to planner. */
export type FromWorker =
  | { readonly type: 'ready'; readonly info: WorkerInfo }
  /** One line for the user, about all that follows. */
  | { readonly type: 'notice'; readonly text: string }
  | { readonly type: 'result'; readonly id: number; readonly value: unknown }
  | { readonly type: 'error'; readonly id: number; readonly error: PortableError }
  | {
      readonly type: 'output'
      readonly id: number
      readonly stream: 'stdout' | 'stderr'
      readonly bytes: Uint8Array
    }
  | { readonly type: 'more'; readonly id: number }
  /** So much of the blob of an `unpackLayer` call is unpacked. */
  | { readonly type: 'moved'; readonly id: number; readonly bytes: number }

/** An error as it travels: its class is lost, its name, code and fields are kept. */
export interface PortableError {
  readonly name: string
  readonly message: string
  readonly code: string | undefined
  readonly fields: Readonly<Record<string, unknown>>
  readonly stack: string | undefined
  readonly cause: PortableError | undefined
}

const CAUSES_MAX = 8

/** Takes an error apart for the channel. */
export function packError(error: unknown, depth = 0): PortableError {
  if (!(error instanceof Error)) {
    return {
      name: 'Error',
      message: String(error),
      code: undefined,
      fields: {},
      stack: undefined,
      cause: undefined,
    }
  }
  const fields: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(error)) {
    if (['string', 'number', 'boolean'].includes(typeof value)) fields[name] = value
  }
  const code = typeof fields['code'] === 'string' ? fields['code'] : undefined
  const cause =
    error.cause === undefined || depth >= CAUSES_MAX ? undefined : packError(error.cause, depth + 1)
  return { name: error.name, message: error.message, code, fields, stack: error.stack, cause }
}

/** A failure inside the worker, as seen from outside; `code` is that of the original error. */
export class WorkerCallError extends Error {
  override readonly name: string
  readonly code: string | undefined

  constructor(error: PortableError) {
    super(error.message, {
      cause: error.cause === undefined ? undefined : new WorkerCallError(error.cause),
    })
    Object.assign(this, error.fields)
    this.name = error.name
    this.code = error.code
    if (error.stack !== undefined) this.stack = error.stack
  }
}

/** Whether a message is one of ours at all: the channel is private, but what comes over it is still only a value. */
export function isMessage(value: unknown): value is { readonly type: string } {
  return (
    typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
  )
}
