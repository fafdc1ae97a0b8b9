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
import { NetworkNamespace } from '../sandbox/network-namespace.ts'
import { SpareProgram } from '../sandbox/spare-program.ts'
import { type FromWorker, isMessage, type ToWorker } from './messages.ts'
import { makeMountPlaces } from './mount-places.ts'
import { makeLayer, packEntries, packRun, readDiff } from './pack.ts'
import type { WorkerInfo } from './protocol.ts'
import { readLayerFile } from './read-file.ts'
import { watchPosition } from './read-position.ts'
import { CommittedDiffs, runInSandbox } from './run.ts'
import { type Handlers, WorkerServer } from './server.ts'
import { treeSize } from './tree-size.ts'
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
  const places = await makeMountPlaces(given.workDir)
  const resizes = new Set<() => void>()
  const server = new WorkerServer(
    makeHandlers({
      ...{ kernel, snapshotter, workDir, resizes, places },
      namespace: new NetworkNamespace({
        program: initProgram(),
        env: process.env,
        onShared: (text) => void send({ type: 'notice', text }),
      }),
      onSharedProc: sharedProcNotice(),
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
      for (const path of [workDir, places, given.probeDir]) await kernel.removeTree(path, never)
      process.exit(0)
    })
  })
  await send({ type: 'ready', info: workerInfo(given, snapshotter) })
}

interface HandlerParts {
  readonly kernel: Kernel
  readonly snapshotter: Snapshotter
  readonly workDir: string
  readonly places: string
  readonly overlay: OverlaySupport
  readonly recordsOwners: boolean
  readonly isChroot: boolean
  readonly namespace: NetworkNamespace
  readonly resizes: Set<() => void>
  readonly onSharedProc: (isFenced: boolean) => void
}

/** Says what steps see, when the first of them does. */
function sharedProcNotice(): (isFenced: boolean) => void {
  let isSaid = false
  return (isFenced) => {
    if (isSaid) return
    isSaid = true
    const power = isFenced
      ? 'see its processes'
      : 'see its processes, and reach into those of other steps of the build (Landlock of Linux 5.19 would keep them apart)'
    const text =
      `steps have this container's /proc and ${power}: the container's runtime covers files of /proc, and the kernel ` +
      'grants no other then (run the container with --security-opt systempaths=unconfined, in Kubernetes procMount: Unmasked)'
    void send({ type: 'notice', text })
  }
}

/** What the planner's stdin, stdout and stderr are here (client.ts passes them). */
const PLANNER_STDIO = [4, 5, 6] as const

function makeHandlers(parts: HandlerParts): Handlers {
  const { kernel, snapshotter, workDir, overlay, resizes, recordsOwners, isChroot, namespace } =
    parts
  const diffs = new CommittedDiffs()
  // See makePlace.
  kernel.spreadChildren(workDir)
  const program = initProgram()
  const spare = new SpareProgram(program)
  return {
    unpackLayer: async (request, { signal, moved }) => {
      const { blob, arriving } = request
      await using _watch = watchPosition([blob, ...(arriving ? [arriving.path] : [])], moved)
      const parts = { kernel, workDir, userXattr: overlay === 'user', recordsOwners }
      return await unpackLayer(request, parts, signal)
    },
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
            spare,
            places: parts.places,
            workDir,
            stdio: PLANNER_STDIO,
            diffs,
            recordsOwners,
            isChroot,
            namespace,
            onSharedProc: parts.onSharedProc,
          },
        }
        return await runInSandbox(request, runParts, { output, onStart }, signal)
      } finally {
        if (resize !== undefined) resizes.delete(resize)
      }
    },
    packRun: (request, { signal }) => packRun(request, { kernel, diffs }, signal),
    readDiff: async (request) => await readDiff(request, diffs),
    makeLayer: (request, { entries, signal }) =>
      makeLayer(entries, request, { kernel, workDir, userXattr: overlay === 'user' }, signal),
    packEntries: (request, { entries, signal }) => packEntries(entries, request, kernel, signal),
    readFile: async (request) => await readLayerFile(request, kernel),
    removeTrees: async ({ paths }, { signal }) => {
      for (const path of paths) await kernel.removeTree(path, signal)
      return undefined
    },
    treeSizes: async ({ paths }, { signal }) => {
      const sizes: number[] = []
      for (const path of paths) sizes.push(await treeSize(path, kernel, signal))
      return sizes
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
  ].filter((text) => text !== undefined)
  return {
    rung: given.rung,
    driver: snapshotter.driver,
    notice: lost.length === 0 ? undefined : lost.join('; '),
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
