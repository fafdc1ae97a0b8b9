import type {
  ContextNode,
  GitNode,
  HttpNode,
  MkdirNode,
  Node,
  NodeId,
  RunNode,
  CopyNode,
} from '../../frontend/index.ts'
import { hashValue } from '../solver/canonical.ts'
import type { LayerStack } from '../solver/layer.ts'
import type { NodeTask } from '../solver/schedule.ts'
import type { StepReporter } from '../solver/steps.ts'
import { copyNode } from './copy-node.ts'
import type { CopyInput } from './copy-selection.ts'
import type { SourceTree } from './copy-source.ts'
import { type ImageResolver, stackOf } from './image.ts'
import { mkdirNode } from './mkdir-node.ts'
import { contextMount, type MountSourceParts, stackMount } from './mount-source.ts'
import type { MountSource } from './mountable.ts'
import { runNode, type RunNodeParts } from './run-node.ts'
import type { StepPlace } from './step-place.ts'

/** What a node came to: a filesystem made of layers, or files that lie on the host. */
export type NodeResult = CopyInput

export interface GraphExecutorParts extends RunNodeParts, MountSourceParts {
  readonly store: MountSourceParts['store']
  readonly resolver: ImageResolver
  readonly steps: StepReporter
  /** The main context or a named one; opened once. */
  readonly openContext: (name: string, signal: AbortSignal) => Promise<SourceTree>
  /** Where another title than that of the graph is wanted. */
  readonly contextTitle: (name: string) => string | undefined
  readonly openHttp: (node: HttpNode, signal: AbortSignal) => Promise<SourceTree>
  readonly openGit: (node: GitNode, signal: AbortSignal) => Promise<SourceTree>
  /** A RUN is going to see the layer of this node. */
  readonly isReadByRun: (node: Node) => boolean
  /** Tells the projects that share a state root apart, for `explain`. */
  readonly project: string
}

/** Does any node: chooses the executor for its kind and hands it what it needs. */
export class GraphExecutor {
  readonly #parts: GraphExecutorParts

  constructor(parts: GraphExecutorParts) {
    this.#parts = parts
  }

  async execute(
    { node, definition }: NodeTask,
    inputs: ReadonlyMap<NodeId, NodeResult>,
    signal: AbortSignal,
  ): Promise<NodeResult> {
    const place = { definition, position: this.#position(node) }
    switch (node.kind) {
      case 'scratch':
        return { kind: 'stack', layers: [], description: 'scratch' }
      case 'image': {
        const image = this.#parts.resolver.byHandle(node.resolved)
        this.#parts.steps.start(node.origin.title).end('done')
        return { kind: 'stack', layers: stackOf(image), description: `image ${image.reference}` }
      }
      case 'context':
        return { kind: 'files', tree: await this.#openContext(node, signal) }
      case 'http':
        return {
          kind: 'files',
          tree: await this.#parts.steps.during(node.origin.title, signal, () =>
            this.#parts.openHttp(node, signal),
          ),
        }
      case 'git':
        return {
          kind: 'files',
          tree: await this.#parts.steps.during(node.origin.title, signal, () =>
            this.#parts.openGit(node, signal),
          ),
        }
      case 'mkdir':
        return await this.#mkdir(node, inputs, place, signal)
      case 'copy':
        return await this.#copy(node, inputs, place, signal)
      case 'run':
        return await this.#run(node, inputs, place, signal)
      default:
        return node satisfies never
    }
  }

  async #openContext({ name, origin }: ContextNode, signal: AbortSignal): Promise<SourceTree> {
    const { contextTitle, openContext, steps } = this.#parts
    return await steps.during(contextTitle(name) ?? origin.title, signal, () =>
      openContext(name, signal),
    )
  }

  async #mkdir(
    node: MkdirNode,
    inputs: ReadonlyMap<NodeId, NodeResult>,
    place: StepPlace,
    signal: AbortSignal,
  ): Promise<NodeResult> {
    const parent = stackIn(inputs, node.parent)
    const isReadByRun = this.#parts.isReadByRun(node)
    const made = await mkdirNode(node, { parent, place, isReadByRun }, this.#parts, signal)
    return grown(node, parent, made)
  }

  async #copy(
    node: CopyNode,
    inputs: ReadonlyMap<NodeId, NodeResult>,
    place: StepPlace,
    signal: AbortSignal,
  ): Promise<NodeResult> {
    const parent = stackIn(inputs, node.parent)
    const isReadByRun = this.#parts.isReadByRun(node)
    const given = { parent, sources: inputs, place, isReadByRun }
    return grown(node, parent, await copyNode(node, given, this.#parts, signal))
  }

  async #run(
    node: RunNode,
    inputs: ReadonlyMap<NodeId, NodeResult>,
    place: StepPlace,
    signal: AbortSignal,
  ): Promise<NodeResult> {
    const parent = stackIn(inputs, node.parent)
    const sources = new Map<NodeId, MountSource>()
    for (const [id, input] of inputs) {
      sources.set(
        id,
        input.kind === 'stack'
          ? stackMount(input, this.#parts)
          : contextMount(input.tree, this.#parts),
      )
    }
    return grown(node, parent, await runNode(node, { parent, sources, place }, this.#parts, signal))
  }

  /** A stage's n-th instruction of a project: what `explain` compares with the build before. */
  #position(node: Node): StepPlace['position'] {
    const { stage } = node.origin
    const title = node.origin.title.replace(/^(\[[^\]]*\]).*$/s, '$1')
    return hashValue({ project: this.#parts.project, stage, title, kind: node.kind })
  }
}

function grown(node: Node, parent: LayerStack, layer: LayerStack[number]): NodeResult {
  const description = node.origin.stage === undefined ? 'a stage' : `stage ${node.origin.stage}`
  return { kind: 'stack', layers: [...parent, layer], description }
}

function stackIn(inputs: ReadonlyMap<NodeId, NodeResult>, id: NodeId): LayerStack {
  const input = inputs.get(id)
  if (input?.kind !== 'stack') {
    throw new TypeError(`node ${id} is no filesystem`)
  }
  return input.layers
}
