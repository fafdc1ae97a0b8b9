import type { BuildGraph, NodeId } from '../../frontend/index.ts'

/** The nodes whose layers are the result's, bottom first: the target, what it stands on, and so on. */
export function targetChain(graph: BuildGraph): NodeId[] {
  const chain: NodeId[] = []
  for (let id: NodeId | undefined = graph.target; id !== undefined; ) {
    chain.push(id)
    const node: BuildGraph['nodes'][number] | undefined = graph.nodes[id]
    id = node !== undefined && 'parent' in node ? node.parent : undefined
  }
  return chain.reverse()
}
