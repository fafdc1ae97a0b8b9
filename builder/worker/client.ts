import type { ChildProcess } from 'node:child_process'
import type { LayerDirectory, LayerPath, PackEntry, PackResult } from '../../snapshotter/index.ts'
import { createCgroup } from '../sandbox/cgroup.ts'
import { SandboxError } from '../sandbox/errors.ts'
import type { HostFacts } from '../sandbox/host-facts.ts'
import { explainStart } from '../sandbox/ladder.ts'
import { EntryGate } from './entry-gate.ts'
import {
  type CallName,
  type FromWorker,
  isMessage,
  type ToWorker,
  WorkerCallError,
  type WorkerCalls,
} from './messages.ts'
import type {
  DiffPage,
  MakeLayerRequest,
  OutputSink,
  PackRunRequest,
  PackTarget,
  ReadDiffRequest,
  RunRequest,
  RunResult,
  StepRequest,
  StepResult,
  UnpackRequest,
  UnpackResult,
  Worker,
  WorkerInfo,
} from './protocol.ts'

/** What the worker printed, kept for its obituary. */
const LAST_WORDS_BYTES = 8192
/** How long an ended channel may take to become an ended process. */
const STOP_GRACE_MS = 2000

interface PendingCall {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  readonly output: OutputSink | undefined
  /** A batch of entries is done with: there is room for another. */
  readonly more: (() => void) | undefined
  readonly moved: ((bytes: number) => void) | undefined
}

/** The worker's calls, sent to its process. Disposing ends the process with everything in it. Errors of every call: `worker-died`. */
export class WorkerClient implements Worker {
  /** Resolves when `info` is there; rejects when the worker could not start. */
  readonly ready: Promise<void>
  readonly #child: ChildProcess
  readonly #facts: HostFacts
  readonly #onNotice: ((text: string) => void) | undefined
  readonly #pending = new Map<number, PendingCall>()
  readonly #ended: Promise<void>
  #count = 0
  #info: WorkerInfo | undefined
  #lastWords = ''
  #death: SandboxError | undefined
  #setReady: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined

  constructor(
    child: ChildProcess,
    facts: HostFacts,
    onNotice: ((text: string) => void) | undefined,
  ) {
    this.#child = child
    this.#facts = facts
    this.#onNotice = onNotice
    this.ready = new Promise((resolve, reject) => {
      this.#setReady = { resolve, reject }
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_BYTES)
    })
    child.on('message', (message) => this.#receive(message))
    // Once stderr is closed too: its last words have arrived by then.
    this.#ended = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#bury(`could not be started: ${error.message}`, error)
        resolve()
      })
      child.once('exit', (code, killer) => {
        const bury = (): void => {
          this.#bury(killer === null ? `ended with status ${code}` : `was killed by ${killer}`)
          resolve()
        }
        // Not the child's `close`: Node 20 never emits it after we disconnected the channel.
        if (child.stderr === null || child.stderr.closed) bury()
        else child.stderr.once('close', bury)
      })
    })
  }

  get info(): WorkerInfo {
    if (this.#info === undefined) throw new TypeError('the worker is not ready')
    return this.#info
  }

  async unpackLayer(
    request: UnpackRequest,
    signal: AbortSignal,
    onMoved?: (bytes: number) => void,
  ): Promise<UnpackResult> {
    return await this.#call('unpackLayer', request, signal, { moved: onMoved })
  }

  async run(request: RunRequest, output: OutputSink, signal: AbortSignal): Promise<RunResult> {
    const { limits, cgroupParent, ...step } = request
    await using cgroup = await createCgroup(limits, cgroupParent)
    const result = await this.#runStep({ ...step, cgroupProcs: cgroup.procs }, output, signal)
    const { isOutOfMemory, peakMemoryBytes = result.peakMemoryBytes } = await cgroup.usage()
    return { ...result, isOutOfMemory, peakMemoryBytes }
  }

  async #runStep(
    request: StepRequest,
    output: OutputSink,
    signal: AbortSignal,
  ): Promise<StepResult> {
    if (request.stdio !== 'terminal') return await this.#call('run', request, signal, { output })
    const resize = (): void => this.#send({ type: 'resize' })
    process.stdout.on('resize', resize)
    try {
      return await this.#call('run', request, signal, { output })
    } finally {
      process.stdout.off('resize', resize)
    }
  }

  async packRun(request: PackRunRequest, signal: AbortSignal): Promise<PackResult> {
    return await this.#call('packRun', request, signal)
  }

  async packEntries(
    entries: AsyncIterable<readonly PackEntry[]>,
    request: PackTarget,
    signal: AbortSignal,
  ): Promise<PackResult> {
    return await this.#callWithEntries('packEntries', request, entries, signal)
  }

  async makeLayer(
    entries: AsyncIterable<readonly PackEntry[]>,
    request: MakeLayerRequest,
    signal: AbortSignal,
    onMade?: () => void,
  ): Promise<void> {
    await this.#callWithEntries('makeLayer', request, entries, signal, onMade)
  }

  async readDiff(request: ReadDiffRequest, signal: AbortSignal): Promise<DiffPage | undefined> {
    return await this.#call('readDiff', request, signal)
  }

  async readFile(
    root: LayerDirectory,
    path: LayerPath,
    sizeBytesMax: number,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return await this.#call('readFile', { root, path, sizeBytesMax }, signal)
  }

  async removeTrees(paths: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#call('removeTrees', { paths }, signal)
  }

  async treeSizes(paths: readonly string[], signal: AbortSignal): Promise<readonly number[]> {
    return await this.#call('treeSizes', { paths }, signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_GRACE_MS)
    await this.#ended
    clearTimeout(timer)
  }

  #nextId(): number {
    this.#count += 1
    return this.#count
  }

  async #callWithEntries<N extends 'packEntries' | 'makeLayer'>(
    name: N,
    request: WorkerCalls[N]['request'],
    entries: AsyncIterable<readonly PackEntry[]>,
    signal: AbortSignal,
    onBatchDone?: () => void,
  ): Promise<WorkerCalls[N]['result']> {
    const source = new AbortController()
    const gate = new EntryGate()
    const id = this.#nextId()
    const call = this.#call(name, request, AbortSignal.any([signal, source.signal]), {
      id,
      more: () => {
        gate.open()
        onBatchDone?.()
      },
    })
    // An answer ends the sending, whatever it is.
    const answered = call.then(
      () => gate.close(),
      () => gate.close(),
    )
    try {
      for await (const batch of entries) {
        if (!(await gate.pass())) break
        this.#send({ type: 'entries', id, batch })
      }
    } catch (error) {
      source.abort(error)
      await answered
      throw error
    }
    this.#send({ type: 'entries-end', id })
    return await call
  }

  async #call<N extends CallName>(
    name: N,
    request: WorkerCalls[N]['request'],
    signal: AbortSignal,
    extras: Partial<Omit<PendingCall, 'resolve' | 'reject'>> & { readonly id?: number } = {},
  ): Promise<WorkerCalls[N]['result']> {
    signal.throwIfAborted()
    const id = extras.id ?? this.#nextId()
    const cancel = (): void => this.#send({ type: 'cancel', id })
    signal.addEventListener('abort', cancel, { once: true })
    try {
      return await new Promise<WorkerCalls[N]['result']>((resolve, reject) => {
        if (this.#death !== undefined) {
          reject(this.#death)
          return
        }
        // The worker answers a call with the result of its name (server.ts).
        const settle = resolve as (value: unknown) => void
        const { output, more, moved } = extras
        this.#pending.set(id, { resolve: settle, reject, output, more, moved })
        const call = { name, request } as Extract<ToWorker, { type: 'call' }>['call']
        this.#send({ type: 'call', id, call })
      })
    } catch (error) {
      signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', cancel)
      this.#pending.delete(id)
    }
  }

  #send(message: ToWorker): void {
    // What cannot be sent was sent to the dead; every call learns that from `close`.
    if (this.#child.connected) this.#child.send(message, () => undefined)
  }

  #receive(message: unknown): void {
    if (!isFromWorker(message)) throw new TypeError('the worker sent something that is no message')
    if (message.type === 'ready') {
      this.#info = message.info
      this.#setReady?.resolve()
      return
    }
    if (message.type === 'notice') {
      this.#onNotice?.(message.text)
      return
    }
    const call = this.#pending.get(message.id)
    switch (message.type) {
      case 'result':
        call?.resolve(message.value)
        return
      case 'error':
        call?.reject(new WorkerCallError(message.error))
        return
      case 'output':
        call?.output?.(message.stream, message.bytes)
        return
      case 'more':
        call?.more?.()
        return
      case 'moved':
        call?.moved?.(message.bytes)
        return
      default:
        message satisfies never
    }
  }

  #bury(how: string, cause?: Error): void {
    if (this.#death !== undefined) return
    const words = this.#lastWords.trim()
    const said = words === '' ? '' : `: ${words}`
    this.#death =
      (this.#info === undefined ? explainStart(this.#lastWords, this.#facts) : undefined) ??
      new SandboxError('worker-died', `the worker ${how}${said}`, {
        lastWords: words,
        ...(cause === undefined ? {} : { cause }),
      })
    this.#setReady?.reject(this.#death)
    // Nobody may be waiting for a start that succeeded long ago.
    this.ready.catch(() => undefined)
    for (const call of this.#pending.values()) call.reject(this.#death)
  }
}

function isFromWorker(value: unknown): value is FromWorker {
  return (
    isMessage(value) &&
    ['ready', 'notice', 'result', 'error', 'output', 'more', 'moved'].includes(value.type)
  )
}
