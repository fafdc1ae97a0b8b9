import type { RunMount, RunNode } from '../../frontend/index.ts'
import { type LayerStack, packedDiffIds } from '../solver/layer.ts'
import type { RunResult, Worker } from '../worker/protocol.ts'
import type { FailedMount } from './failed-step.ts'
import { type FailedSteps, newFailedId } from './failed-steps.ts'
import type { MountOrigins } from './run-mounts.ts'
import { type RunOptions, surroundingsOf } from './run.ts'

/** A RUN that has just failed. */
export interface FailedRun {
  readonly node: RunNode
  readonly options: RunOptions
  readonly parent: LayerStack
  readonly origins: MountOrigins
  readonly reason: string
  /** RFC 3339. */
  readonly failedAt: string
  /** What the worker made of `directory`. */
  readonly files: RunResult['failedFiles']
  readonly directory: string
}

/** `isKept`, or why not. */
export type KeepOutcome =
  | { readonly isKept: true; readonly mounts: readonly RunMount[] }
  | { readonly isKept: false; readonly reason: string }

/** Keeps the failed steps of one build for a shell in them, and knows afterwards what came of it. */
export class FailedStepKeeper {
  readonly #steps: FailedSteps
  readonly #needsRoom: boolean
  readonly #outcomes = new Map<string, KeepOutcome>()

  /** `needsRoom`: nothing is kept on a disk that is nearly full. */
  constructor(steps: FailedSteps, { needsRoom }: { readonly needsRoom: boolean }) {
    this.#steps = steps
    this.#needsRoom = needsRoom
  }

  /**
   * Begins to keep a step. `done` waits for the layers below it to be packed, never rejects, and has to be waited for
   * before the build ends.
   */
  keep(
    failed: FailedRun,
    worker: Pick<Worker, 'removeTrees'>,
    signal: AbortSignal,
  ): { readonly id: string; readonly done: Promise<void> } {
    const id = newFailedId()
    const done = this.#keep(id, failed, worker, signal).then(
      (outcome) => void this.#outcomes.set(id, outcome),
      (error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error)
        this.#outcomes.set(id, { isKept: false, reason })
      },
    )
    return { id, done }
  }

  /** What became of a step, once its build has ended; undefined for one of another build. */
  outcome(id: string): KeepOutcome | undefined {
    return this.#outcomes.get(id)
  }

  async #keep(
    id: string,
    failed: FailedRun,
    worker: Pick<Worker, 'removeTrees'>,
    signal: AbortSignal,
  ): Promise<KeepOutcome> {
    const { node, options, files, reason, failedAt, directory } = failed
    if (files === undefined) return { isKept: false, reason: 'the sandbox gave no files' }
    if ('error' in files) return { isKept: false, reason: files.error }
    if (this.#needsRoom && !(await this.#steps.hasRoom())) {
      await worker.removeTrees([directory], signal)
      const reason =
        'the disk of the state root is nearly full (--on-failure=keep keeps them all the same)'
      return { isKept: false, reason }
    }
    const { cgroupParent, ...surroundings } = surroundingsOf(node, options)
    const { args, shell, env, cwd, user, security, scripts, mounts } = node
    const step = {
      ...{ id, failedAt, reason },
      title: node.origin.title,
      sizeBytes: files.sizeBytes,
      layers: await packedDiffIds(failed.parent),
      node: { args, shell, env, cwd, user, security, scripts },
      proxies: node.proxyEnv.map((pair) => pair.slice(0, pair.indexOf('='))),
      mounts: await Promise.all(mounts.map((mount) => failedMount(mount, failed.origins))),
      surroundings: cgroupParent === undefined ? surroundings : { ...surroundings, cgroupParent },
    }
    await this.#steps.add(step, directory)
    await worker.removeTrees(await this.#steps.expire(), signal)
    return { isKept: true, mounts }
  }
}

async function failedMount(mount: RunMount, origins: MountOrigins): Promise<FailedMount> {
  const { stack, source, initial } = origins.get(mount) ?? {}
  return {
    mount,
    ...(stack === undefined ? {} : { layers: await packedDiffIds(stack) }),
    ...(source === undefined ? {} : { source }),
    ...(initial === undefined ? {} : { initial }),
  }
}
