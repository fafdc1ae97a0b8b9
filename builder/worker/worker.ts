import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CopySnapshotter,
  kernel,
  type Kernel,
  OverlaySnapshotter,
  type Snapshotter,
} from '../../snapshotter/index.ts'
import { initProgram } from '../sandbox/init-program.ts'
import { SHARED_NETWORK_NOTICE } from '../sandbox/network.ts'
import { type FromWorker, isMessage, type ToWorker } from './messages.ts'
import { packEntries, packRun } from './pack.ts'
import type { WorkerInfo } from './protocol.ts'
import { readLayerFile } from './read-file.ts'
import { CommittedDiffs, runInSandbox } from './run.ts'
import { type Handlers, WorkerServer } from './server.ts'
import { unpackLayer } from './unpack.ts'
import {
  type OverlaySupport,
  readWorkerArguments,
  type WorkerArguments,
} from './worker-arguments.ts'

/**
 * The worker process: started by `sandbox-init worker` inside the namespaces, speaks with the planner over the inherited
 * channel, ends with it.
 */
async function main(): Promise<void> {
  const given = readWorkerArguments(process.argv.slice(2), process.env)
  const workDir = join(given.workDir, 'worker')
  await mkdir(workDir, { recursive: true, mode: 0o700 })
  const snapshotter = makeSnapshotter(kernel, given.overlay, workDir)
  const resizes = new Set<() => void>()
  const server = new WorkerServer(
    makeHandlers({
      ...{ kernel, snapshotter, workDir, resizes },
      overlay: given.overlay,
      recordsOwners: given.rung === 'userns-single-id',
      isChroot: given.rung === 'no-namespaces',
    }),
    send,
  )
  process.on('message', (message) => {
    if (!isToWorker(message)) throw new TypeError('the planner sent something that is no message')
    if (message.type === 'resize') for (const resize of resizes) resize()
    else server.receive(message)
  })
  process.once('disconnect', () => {
    void server.stop().then(async () => {
      const never = new AbortController().signal
      for (const path of [workDir, given.probeDir]) await kernel.removeTree(path, never)
      process.exit(0)
    })
  })
  await send({ type: 'ready', info: workerInfo(given, snapshotter) })
}

interface HandlerParts {
  readonly kernel: Kernel
  readonly snapshotter: Snapshotter
  readonly workDir: string
  readonly overlay: OverlaySupport
  readonly recordsOwners: boolean
  readonly isChroot: boolean
  readonly resizes: Set<() => void>
}

/** What the planner's stdin, stdout and stderr are here (client.ts passes them). */
const PLANNER_STDIO = [4, 5, 6] as const

function makeHandlers(parts: HandlerParts): Handlers {
  const { kernel, snapshotter, workDir, overlay, resizes, recordsOwners, isChroot } = parts
  const diffs = new CommittedDiffs()
  const program = initProgram()
  return {
    unpackLayer: (request, { signal }) =>
      unpackLayer(request, { kernel, userXattr: overlay === 'user', recordsOwners }, signal),
    run: async (request, { output, signal }) => {
      let resize: (() => void) | undefined
      const onStart = (control: { readonly resize: () => void }): void => {
        resize = control.resize
        resizes.add(resize)
      }
      try {
        const runParts = {
          ...{
            snapshotter,
            program,
            workDir,
            stdio: PLANNER_STDIO,
            diffs,
            recordsOwners,
            isChroot,
          },
        }
        return await runInSandbox(request, runParts, { output, onStart }, signal)
      } finally {
        if (resize !== undefined) resizes.delete(resize)
      }
    },
    packRun: (request, { signal }) => packRun(request, { kernel, diffs }, signal),
    packEntries: (request, { entries, signal }) => packEntries(entries, request, kernel, signal),
    readFile: async (request) => await readLayerFile(request, kernel),
    removeTrees: async ({ paths }, { signal }) => {
      for (const path of paths) await kernel.removeTree(path, signal)
      return undefined
    },
  }
}

function makeSnapshotter(kernel: Kernel, overlay: OverlaySupport, workDir: string): Snapshotter {
  return typeof overlay === 'string'
    ? new OverlaySnapshotter({ kernel, workDir, userXattr: overlay === 'user' })
    : new CopySnapshotter({ kernel, workDir, ownership: 'owners' })
}

function workerInfo(given: WorkerArguments, snapshotter: Snapshotter): WorkerInfo {
  const lost = [
    given.notice,
    typeof given.overlay === 'string' || given.rung === 'no-namespaces'
      ? undefined
      : `overlayfs cannot be mounted here (${given.overlay.reason}): every step copies its whole root filesystem`,
    SHARED_NETWORK_NOTICE,
  ]
  return {
    rung: given.rung,
    driver: snapshotter.driver,
    notice: lost.filter((text) => text !== undefined).join('; '),
  }
}

/** Waits for the channel: what a step prints faster than the planner takes stays in the step's pipe. */
async function send(message: FromWorker): Promise<void> {
  await new Promise<void>((resolve) => {
    // A planner that is gone is told by `disconnect`, so a failure here needs no answer.
    if (process.send === undefined || !process.connected) resolve()
    else process.send(message, () => resolve())
  })
}

function isToWorker(value: unknown): value is ToWorker {
  return (
    isMessage(value) && ['call', 'cancel', 'entries', 'entries-end', 'resize'].includes(value.type)
  )
}

/** Settles when the planner has ended. */
export const ended: Promise<void> = main()
