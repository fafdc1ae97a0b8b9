import type { GraphPlatform, Node, NodeId, NodeOrigin } from './graph.ts'
import { formatFullPlatform } from './platform.ts'

/** A node without the id it gets. */
export type NewNode = Node extends infer T ? (T extends Node ? Omit<T, 'id'> : never) : never

/** Collects nodes in order; sources that are equal become one node. */
export class GraphBuilder {
  readonly nodes: Node[] = []
  readonly #shared = new Map<string, NodeId>()

  add(node: NewNode): NodeId {
    const id = this.nodes.length
    this.nodes.push({ ...node, id })
    return id
  }

  /** The node known by `key`, made by `make` when it is new. */
  shared(key: string, make: () => NewNode): NodeId {
    const known = this.#shared.get(key)
    if (known !== undefined) return known
    const id = this.add(make())
    this.#shared.set(key, id)
    return id
  }

  scratch(): NodeId {
    return this.shared('scratch', () => ({ kind: 'scratch', origin: internalOrigin('scratch') }))
  }

  /** The main context, or a named one. */
  context(name: string): NodeId {
    const title =
      name === 'context' ? '[internal] load build context' : `[context ${name}] load from client`
    const make = () => ({ kind: 'context', name, origin: internalOrigin(title) }) as const
    return this.shared(`context ${name}`, make)
  }

  image(
    image: { readonly reference: string; readonly resolved: string },
    platform: GraphPlatform,
    origin: NodeOrigin,
  ): NodeId {
    const { reference, resolved } = image
    const key = JSON.stringify(['image', reference, resolved, formatFullPlatform(platform)])
    return this.shared(key, () => ({ kind: 'image', reference, resolved, platform, origin }))
  }
}

/** Origin of a node that no instruction names. */
export function internalOrigin(title: string): NodeOrigin {
  return { title, stage: undefined, range: undefined, ignoreCache: false }
}
