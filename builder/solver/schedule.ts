import { setMaxListeners } from 'node:events'
import type { Node, NodeId } from '../../frontend/index.ts'
import { type DefinitionKey, inputsOf } from './definition-key.ts'
import { SingleFlight } from './single-flight.ts'

/** Does one node whose inputs are done. `inputs` answers for every id that `inputsOf` names. */
export type NodeExecutor<Result> = (
  task: NodeTask,
  inputs: ReadonlyMap<NodeId, Result>,
  signal: AbortSignal,
) => Promise<Result>

export interface NodeTask {
  readonly node: Node
  readonly definition: DefinitionKey
}

export interface ScheduledGraph {
  readonly nodes: readonly Node[]
  /** By NodeId. */
  readonly definitions: readonly DefinitionKey[]
}

/**
 * Runs what a target needs and nothing else (features rows D62, K25): inputs first, independent nodes side by side,
 * nodes with equal definitions once, over all graphs given to one Scheduler (K17). The first failure aborts the rest
 * (K19) and is what every caller gets.
 */
export class Scheduler<Result> {
  readonly #execute: NodeExecutor<Result>
  readonly #flights = new SingleFlight<Result>()
  readonly #controller = new AbortController()
  readonly #running = new Set<Promise<unknown>>()
  #failure: { readonly error: unknown } | undefined

  constructor(execute: NodeExecutor<Result>, signal: AbortSignal) {
    this.#execute = execute
    // Every request, child process and limiter of a build listens; that many is no leak.
    setMaxListeners(0, this.#controller.signal)
    if (signal.aborted) {
      this.#controller.abort(signal.reason)
    } else {
      signal.addEventListener('abort', () => this.#controller.abort(signal.reason), { once: true })
    }
  }

  /** Aborted when the caller's signal is, or when anything failed. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** The result of `target`. Throws the first failure, after everything that was under way has ended. */
  async solve(graph: ScheduledGraph, target: NodeId): Promise<Result> {
    try {
      return await this.#node(graph, target)
    } catch (error) {
      this.fail(error)
    }
    await this.settle()
    throw this.#failure?.error
  }

  /** Work that goes on beside the graph (packing a layer, writing its record); its failure fails the build. */
  background(work: Promise<unknown>): void {
    const watched = work
      .catch((error: unknown) => this.fail(error))
      .finally(() => this.#running.delete(watched))
    this.#running.add(watched)
  }

  /** Waits for everything under way; throws the first failure there was. */
  async drain(): Promise<void> {
    await this.settle()
    if (this.#failure !== undefined) {
      throw this.#failure.error
    }
  }

  /** Records a failure and stops the rest; the first one wins. */
  fail(error: unknown): void {
    this.#failure ??= { error: this.#controller.signal.aborted ? this.#abortCause(error) : error }
    this.#controller.abort(error)
  }

  /** Waits until nothing is under way, whatever became of it. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) {
      await Promise.all(this.#running)
    }
  }

  #node(graph: ScheduledGraph, id: NodeId): Promise<Result> {
    const node = graph.nodes[id]
    const definition = graph.definitions[id]
    if (node === undefined || definition === undefined) {
      return Promise.reject(new RangeError(`the graph has no node ${id}`))
    }
    return this.#flights.run(definition, async () => {
      const inputs = new Map(
        await Promise.all(
          inputsOf(node).map(async (input) => [input, await this.#node(graph, input)] as const),
        ),
      )
      this.#controller.signal.throwIfAborted()
      const work = this.#execute({ node, definition }, inputs, this.#controller.signal)
      this.background(work)
      return await work
    })
  }

  /** What was aborted from outside fails for that reason, not for what the abort broke. */
  #abortCause(error: unknown): unknown {
    const reason: unknown = this.#controller.signal.reason
    return reason instanceof Error ? reason : error
  }
}
