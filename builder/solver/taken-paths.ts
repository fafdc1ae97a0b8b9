import type { BuildGraph, Node, NodeId } from '../../frontend/index.ts'
import { inputsOf } from './definition-key.ts'

/** Paths and patterns by the context that they are taken from. */
export type TakenPaths = ReadonlyMap<NodeId, readonly string[]>

/** What the steps that the target needs take out of each context: sources of COPY and ADD, and of bind mounts. */
export function takenPaths({ nodes, target }: Pick<BuildGraph, 'nodes' | 'target'>): TakenPaths {
  const taken = new Map<NodeId, string[]>()
  const visited = new Set<NodeId>()
  const visit = (id: NodeId): void => {
    const node = nodes[id]
    if (node === undefined || visited.has(id)) return
    visited.add(id)
    for (const { from, path } of takenBy(node)) {
      if (nodes[from]?.kind === 'context') taken.set(from, [...(taken.get(from) ?? []), path])
    }
    inputsOf(node).forEach(visit)
  }
  visit(target)
  return taken
}

function takenBy(node: Node): { readonly from: NodeId; readonly path: string }[] {
  if (node.kind === 'copy') {
    return node.sources.flatMap((source) =>
      source.type === 'path' ? [{ from: source.from, path: source.pattern }] : [],
    )
  }
  if (node.kind !== 'run') return []
  return node.mounts.flatMap((mount) =>
    (mount.type === 'bind' || mount.type === 'cache') && mount.from !== undefined
      ? [{ from: mount.from, path: mount.source }]
      : [],
  )
}
