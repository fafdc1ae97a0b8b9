import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type LayerDirectory,
  type LayerPath,
  packageFile,
  type PackEntry,
  type PackResult,
  type Store,
} from '../../snapshotter/index.ts'
import { SandboxError } from '../sandbox/errors.ts'
import { type HostFacts, readHostFacts } from '../sandbox/host-facts.ts'
import { initProgram } from '../sandbox/init-program.ts'
import {
  chooseRung,
  explainStart,
  refusedNamespaces,
  type Rung,
  singleIdRung,
  withoutNamespaces,
} from '../sandbox/ladder.ts'
import {
  type CallName,
  type FromWorker,
  isMessage,
  type ToWorker,
  WorkerCallError,
  type WorkerCalls,
} from './messages.ts'
import type {
  OutputSink,
  PackRunRequest,
  PackTarget,
  RunRequest,
  RunResult,
  UnpackRequest,
  UnpackResult,
  Worker,
  WorkerInfo,
} from './protocol.ts'
import { agreeOnOwners } from './owner-form.ts'
import { ENTRY_WINDOW } from './server.ts'
import { writeWorkerArguments } from './worker-arguments.ts'

export interface StartWorkerOptions {
  /** The open state root: the worker may write below it, and keeps unfinished things in the lease's directory. */
  readonly store: {
    readonly root: Pick<Store['root'], 'path'>
    readonly lease: Pick<Store['lease'], 'directory'>
  }
  /** Further places that steps may write to (`tsbuild run -v`). */
  readonly writable?: readonly string[]
  /** Of this machine; tests give others. */
  readonly facts?: HostFacts
}

/** What the worker printed, kept for its obituary. */
const LAST_WORDS_BYTES = 8192
/** How long an ended channel may take to become an ended process. */
const STOP_GRACE_MS = 2000

/**
 * Starts the worker on the highest rung of the ladder that this machine offers. Disposing ends it with everything in it.
 * Errors: `sandbox-unavailable` with cause and fix, `worker-died`.
 */
export async function startWorker(
  options: StartWorkerOptions,
  signal: AbortSignal,
): Promise<Worker> {
  signal.throwIfAborted()
  const facts = options.facts ?? readHostFacts()
  const { path } = options.store.root
  const rung = await agreeOnOwners(path, chooseRung(facts), () => singleIdRung(facts))
  try {
    return await startOn(rung, facts, options, signal)
  } catch (error) {
    const refused = refusedNamespaces(error)
    if (refused === undefined || facts.uid !== 0 || !facts.hasSysChroot) throw error
    return await startOn(withoutNamespaces(facts, refused), facts, options, signal)
  }
}

async function startOn(
  { rung, options: rungOptions, notice }: Rung,
  facts: HostFacts,
  options: StartWorkerOptions,
  signal: AbortSignal,
): Promise<Worker> {
  const { root, lease } = options.store
  const probe = join(lease.directory, 'probe')
  await mkdir(probe, { recursive: true, mode: 0o700 })
  const writable = [
    root.path,
    ...(options.writable ?? []),
    ...(rung === 'root' ? CGROUPS.filter((path) => existsSync(path)) : []),
  ]
  const child = spawn(
    initProgram(),
    [
      'worker',
      ...rungOptions,
      ...['--probe', probe],
      ...writable.flatMap((path) => ['--writable', path]),
      '--',
      process.execPath,
      workerProgram(),
      ...writeWorkerArguments({ workDir: lease.directory, probeDir: probe, rung, notice }),
    ],
    // 4, 5 and 6: for a step that talks to the terminal; main.ts knows them.
    { stdio: ['ignore', 'ignore', 'pipe', 'ipc', 0, 1, 2], serialization: 'advanced', cwd: '/' },
  )
  const client = new WorkerClient(child, facts)
  const stop = (): void => void child.kill('SIGKILL')
  signal.addEventListener('abort', stop, { once: true })
  try {
    await client.ready
    return client
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

function workerProgram(): string {
  const program = packageFile('dist/builder/worker/main.js')
  if (program === undefined) throw new Error('could not find dist/builder/worker/main.js')
  return program
}

/** Limits of steps are written there. */
const CGROUPS = ['/sys/fs/cgroup']

interface PendingCall {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  readonly output: OutputSink | undefined
  /** Room for another batch of entries. */
  readonly more: (() => void) | undefined
}

class WorkerClient implements Worker {
  /** Resolves when `info` is there; rejects when the worker could not start. */
  readonly ready: Promise<void>
  readonly #child: ChildProcess
  readonly #facts: HostFacts
  readonly #pending = new Map<number, PendingCall>()
  readonly #ended: Promise<void>
  #count = 0
  #info: WorkerInfo | undefined
  #lastWords = ''
  #death: SandboxError | undefined
  #setReady: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined

  constructor(child: ChildProcess, facts: HostFacts) {
    this.#child = child
    this.#facts = facts
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

  async unpackLayer(request: UnpackRequest, signal: AbortSignal): Promise<UnpackResult> {
    return await this.#call('unpackLayer', request, signal)
  }

  async run(request: RunRequest, output: OutputSink, signal: AbortSignal): Promise<RunResult> {
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
    const source = new AbortController()
    const gate = new EntryGate()
    const id = this.#nextId()
    const call = this.#call('packEntries', request, AbortSignal.any([signal, source.signal]), {
      id,
      more: () => gate.open(),
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

  async #call<N extends CallName>(
    name: N,
    request: WorkerCalls[N]['request'],
    signal: AbortSignal,
    extras: { readonly id?: number; readonly output?: OutputSink; readonly more?: () => void } = {},
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
        this.#pending.set(id, { resolve: settle, reject, output: extras.output, more: extras.more })
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

/** Lets a few batches be under way at once. */
class EntryGate {
  #room = ENTRY_WINDOW
  #isClosed = false
  #wake: (() => void) | undefined

  open(): void {
    this.#room += 1
    this.#wake?.()
  }

  close(): void {
    this.#isClosed = true
    this.#wake?.()
  }

  /** True when a batch may be sent; false when there is no point any more. */
  async pass(): Promise<boolean> {
    while (this.#room === 0 && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    this.#room -= 1
    return !this.#isClosed
  }
}

function isFromWorker(value: unknown): value is FromWorker {
  return isMessage(value) && ['ready', 'result', 'error', 'output', 'more'].includes(value.type)
}
