import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { packageFile, type Store } from '../../snapshotter/index.ts'
import { CGROUP_MOUNT } from '../sandbox/cgroup.ts'
import { type HostFacts, readHostFacts } from '../sandbox/host-facts.ts'
import { initProgram } from '../sandbox/init-program.ts'
import { chooseRung, type Rung, rungBelow, singleIdRung } from '../sandbox/ladder.ts'
import { networkArguments, networkChoice } from '../sandbox/network-namespace.ts'
import { WorkerClient } from './client.ts'
import { agreeOnOwners, recordOwnerForm } from './owner-form.ts'
import type { Worker } from './protocol.ts'
import { writeWorkerArguments } from './worker-arguments.ts'

export interface StartWorkerOptions {
  /** The open state root: the worker may write below it, and keeps unfinished things in the lease's directory. */
  readonly store: {
    readonly root: Pick<Store['root'], 'path'>
    readonly lease: Pick<Store['lease'], 'directory'>
  }
  /** Further places that steps may write to (`tsbuild run -v`). */
  readonly writable?: readonly string[]
  /** What steps lose here that only shows when they run, at most once each: one line for the user. */
  readonly onNotice?: (text: string) => void
  /** Steps have limits: they join control groups. */
  readonly hasLimits?: boolean
  /** The first step has the default network: it is made while the worker starts. */
  readonly needsNetwork?: boolean
  /** Of this machine; tests give others. */
  readonly facts?: HostFacts
}

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
  let wanted = chooseRung(facts)
  for (;;) {
    const rung = await agreeOnOwners(path, wanted, () => singleIdRung(facts))
    try {
      return await startOn(rung, facts, options, signal)
    } catch (error) {
      const below = rungBelow(rung, error, facts)
      if (below === undefined) throw error
      wanted = below
    }
  }
}

async function startOn(
  taken: Rung,
  facts: HostFacts,
  options: StartWorkerOptions,
  signal: AbortSignal,
): Promise<Worker> {
  const { rung, options: rungOptions, notice } = taken
  const { root, lease } = options.store
  const probe = join(lease.directory, 'probe')
  await mkdir(probe, { recursive: true, mode: 0o700 })
  const writable = [
    root.path,
    ...(options.writable ?? []),
    ...(options.hasLimits === true && existsSync(CGROUP_MOUNT) ? [CGROUP_MOUNT] : []),
  ]
  const child = spawn(
    initProgram(),
    [
      'worker',
      ...rungOptions,
      ...['--probe', probe],
      ...writable.flatMap((path) => ['--writable', path]),
      ...(options.needsNetwork === true ? earlyNetwork() : []),
      '--',
      process.execPath,
      workerProgram(),
      ...writeWorkerArguments({ workDir: lease.directory, probeDir: probe, rung, notice }),
    ],
    // 4, 5 and 6: for a step that talks to the terminal; main.ts knows them.
    { stdio: ['ignore', 'ignore', 'pipe', 'ipc', 0, 1, 2], serialization: 'advanced', cwd: '/' },
  )
  const client = new WorkerClient(child, facts, options.onNotice)
  const stop = (): void => void child.kill('SIGKILL')
  signal.addEventListener('abort', stop, { once: true })
  try {
    await client.ready
    await recordOwnerForm(root.path, taken)
    return client
  } catch (error) {
    await client[Symbol.asyncDispose]()
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** For the program that is tried first. When it fails the worker finds out why, and tries the others. */
function earlyNetwork(): string[] {
  const [first] = networkChoice(process.env).candidates
  if (first === undefined) return []
  return networkArguments(first).flatMap((word) => ['--network', word])
}

function workerProgram(): string {
  const program = packageFile('dist/builder/worker/main.js')
  if (program === undefined) throw new Error('could not find dist/builder/worker/main.js')
  return program
}
