import assert from 'node:assert/strict'
import type { CopyNode, Node, NodeId, NodeOrigin, RunNode } from '../../frontend/index.ts'
import { takenPaths } from './taken-paths.ts'

const origin: NodeOrigin = { title: 't', stage: undefined, range: undefined, ignoreCache: false }

function context(id: NodeId): Node {
  return { id, origin, kind: 'context', name: 'context' }
}

/** Only what the question is about. */
function copy(id: NodeId, parent: NodeId, from: NodeId, patterns: readonly string[]): Node {
  const sources = patterns.map(
    (pattern) => ({ type: 'path', from, pattern, unpack: 'never', isRemote: false }) as const,
  )
  const node: Pick<CopyNode, 'id' | 'origin' | 'kind' | 'parent' | 'sources'> = {
    ...{ id, origin, kind: 'copy', parent, sources },
  }
  return node as CopyNode
}

function run(id: NodeId, parent: NodeId, from: NodeId, source: string): Node {
  const mount = { type: 'bind', target: '/m', from, source, isReadonly: true } as const
  const node: Pick<RunNode, 'id' | 'origin' | 'kind' | 'parent' | 'mounts'> = {
    ...{ id, origin, kind: 'run', parent, mounts: [mount] },
  }
  return node as RunNode
}

describe('what is taken out of a context', () => {
  it('is all that the target needs, of COPY and of mounts, and nothing of stages', () => {
    const scratch: Node = { id: 1, origin, kind: 'scratch' }
    const nodes = [context(0), scratch, copy(2, 1, 0, ['a', 'b/*']), run(3, 2, 0, '/c')]
    nodes.push(copy(4, 3, 3, ['of the stage']), copy(5, 1, 0, ['not needed']))
    assert.deepEqual([...takenPaths({ nodes, target: 4 })], [[0, ['/c', 'a', 'b/*']]])
  })
})
