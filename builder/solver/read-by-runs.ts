import type { BuildGraph, Node, NodeId } from '../../frontend/index.ts'
import { inputsOf } from './definition-key.ts'

/** The nodes that the target needs and whose files a RUN sees, as its root or in a mount. */
export function readByRuns({ nodes, target }: Pick<BuildGraph, 'nodes' | 'target'>): Set<Node> {
  const seen = new Set<Node>()
  const needed = new Set<NodeId>()
  const visit = (id: NodeId, isSeen: boolean): void => {
    const node = nodes[id]
    if (node === undefined || (needed.has(id) && (!isSeen || seen.has(node)))) return
    needed.add(id)
    if (isSeen) seen.add(node)
    for (const input of inputsOf(node)) {
      // What a COPY reads is copied, not seen; what it stands on is seen by whoever sees it.
      const isBelow = 'parent' in node && input === node.parent
      visit(input, node.kind === 'run' || (isSeen && isBelow))
    }
  }
  visit(target, false)
  return seen
}
