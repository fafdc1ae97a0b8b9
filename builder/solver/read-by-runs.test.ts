import assert from 'node:assert/strict'
import type { BuildGraph, Node, NodeId, NodeOrigin, RunNode } from '../../frontend/index.ts'
import { readByRuns } from './read-by-runs.ts'

const origin: NodeOrigin = { title: 't', stage: undefined, range: undefined, ignoreCache: false }

function scratch(id: NodeId): Node {
  return { id, origin, kind: 'scratch' }
}

function mkdir(id: NodeId, parent: NodeId): Node {
  return { id, origin, kind: 'mkdir', parent, path: '/a', user: '', epochSec: undefined }
}

function copy(id: NodeId, parent: NodeId, from: NodeId): Node {
  const source = { type: 'path', from, pattern: '/', unpack: 'never', isRemote: false } as const
  return {
    ...{ id, origin, kind: 'copy', parent, sources: [source], dest: '/', destIsDirectory: true },
    ...{ chown: undefined, chmod: undefined, link: false, parents: false, exclude: [] },
    epochSec: undefined,
  }
}

/** Only what the question is about. */
function run(id: NodeId, parent: NodeId): Node {
  const node: Pick<RunNode, 'id' | 'origin' | 'kind' | 'parent' | 'mounts'> = {
    ...{ id, origin, kind: 'run', parent, mounts: [] },
  }
  return node as RunNode
}

function seen(nodes: readonly Node[], target: NodeId): NodeId[] {
  const graph: Pick<BuildGraph, 'nodes' | 'target'> = { nodes, target }
  return [...readByRuns(graph)].map(({ id }) => id).toSorted((a, b) => a - b)
}

describe('what the steps of a build see', () => {
  it('is what a RUN stands on, and nothing above it', () => {
    assert.deepEqual(seen([scratch(0), mkdir(1, 0), run(2, 1), mkdir(3, 2)], 3), [0, 1])
  })

  it('is not what is only copied', () => {
    const nodes = [scratch(0), mkdir(1, 0), mkdir(2, 0), copy(3, 2, 1), run(4, 3)]
    assert.deepEqual(seen(nodes, 4), [0, 2, 3])
  })

  it('is all that is below, though a part was copied before', () => {
    const nodes = [scratch(0), mkdir(1, 0), copy(2, 0, 1), run(3, 1), copy(4, 2, 3)]
    assert.deepEqual(seen(nodes, 4), [0, 1])
  })

  it('is nothing of a stage that the target does not need', () => {
    assert.deepEqual(seen([scratch(0), mkdir(1, 0), run(2, 1), mkdir(3, 0)], 3), [])
  })
})
