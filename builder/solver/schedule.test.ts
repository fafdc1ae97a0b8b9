import assert from 'node:assert/strict'
import type { Node, NodeId, NodeOrigin } from '../../frontend/index.ts'
import { definitionKeys } from './definition-key.ts'
import { type NodeExecutor, Scheduler, type ScheduledGraph } from './schedule.ts'

const origin: NodeOrigin = { title: 't', stage: undefined, range: undefined, ignoreCache: false }
const platform = { os: 'linux', architecture: 'amd64' }

function scratch(id: NodeId): Node {
  return { id, origin, kind: 'scratch' }
}

function mkdir(id: NodeId, parent: NodeId, path: string): Node {
  return { id, origin, kind: 'mkdir', parent, path, user: '', epochSec: undefined }
}

function copyFrom(id: NodeId, parent: NodeId, from: readonly NodeId[]): Node {
  return {
    id,
    origin,
    kind: 'copy',
    parent,
    sources: from.map((source) => ({
      type: 'path',
      from: source,
      pattern: '/x',
      unpack: 'never',
      isRemote: false,
    })),
    dest: '/',
    destIsDirectory: true,
    chown: undefined,
    chmod: undefined,
    link: false,
    parents: false,
    exclude: [],
    epochSec: undefined,
  }
}

function graphOf(nodes: readonly Node[]): ScheduledGraph {
  const definitions = definitionKeys(nodes, { contextIdentity: (name) => name, runOptions: '' })
  return { nodes, definitions }
}

/** Counts executions by node and lets a test say how long each one takes. */
function recorder(
  behaviour: (id: NodeId, signal: AbortSignal) => Promise<void> | void = () => undefined,
): {
  readonly ran: NodeId[]
  readonly execute: NodeExecutor<string>
} {
  const ran: NodeId[] = []
  return {
    ran,
    execute: async ({ node }, _inputs, signal) => {
      ran.push(node.id)
      await behaviour(node.id, signal)
      return `result ${node.id}`
    },
  }
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

describe('Scheduler', () => {
  it('runs what the target needs, inputs first, and nothing else', async () => {
    const { ran, execute } = recorder()
    const graph = graphOf([
      scratch(0),
      mkdir(1, 0, '/a'),
      mkdir(2, 0, '/unused'),
      mkdir(3, 1, '/b'),
    ])
    const result = await new Scheduler(execute, new AbortController().signal).solve(graph, 3)
    assert.equal(result, 'result 3')
    assert.deepEqual(ran, [0, 1, 3])
  })

  it('runs nodes with equal definitions once, also in two graphs', async () => {
    const { ran, execute } = recorder()
    const scheduler = new Scheduler(execute, new AbortController().signal)
    const one = graphOf([scratch(0), mkdir(1, 0, '/a'), mkdir(2, 0, '/a'), copyFrom(3, 1, [2])])
    const other = graphOf([scratch(0), mkdir(1, 0, '/other'), mkdir(2, 0, '/a')])
    await Promise.all([scheduler.solve(one, 3), scheduler.solve(other, 2)])
    assert.equal(ran.filter((id) => id === 0).length, 1)
    // Nodes 1 and 2 of the first graph and node 2 of the second are one piece of work.
    assert.equal(ran.length, 3)
  })

  it('runs independent nodes side by side', async () => {
    const both = deferred()
    let active = 0
    const { execute } = recorder(async (id) => {
      if (id === 1 || id === 2) {
        active += 1
        if (active === 2) {
          both.resolve()
        }
        // Would never come back if the two ran one after the other.
        await both.promise
      }
    })
    const graph = graphOf([scratch(0), mkdir(1, 0, '/a'), mkdir(2, 0, '/b'), copyFrom(3, 1, [2])])
    assert.equal(
      await new Scheduler(execute, new AbortController().signal).solve(graph, 3),
      'result 3',
    )
  })

  it('aborts what is under way at the first failure, reports that failure, and starts nothing more', async () => {
    const isRunning = deferred()
    let wasAborted = false
    const { ran, execute } = recorder(async (id, signal) => {
      if (id === 1) {
        isRunning.resolve()
        await new Promise<void>((done) => signal.addEventListener('abort', () => done()))
        wasAborted = true
        throw new Error('killed')
      }
      if (id === 2) {
        await isRunning.promise
        throw new Error('exit code: 7')
      }
    })
    const graph = graphOf([
      scratch(0),
      mkdir(1, 0, '/a'),
      mkdir(2, 0, '/b'),
      mkdir(3, 1, '/c'),
      copyFrom(4, 3, [2]),
    ])
    await assert.rejects(
      new Scheduler(execute, new AbortController().signal).solve(graph, 4),
      /exit code: 7/,
    )
    assert.equal(wasAborted, true)
    assert.equal(ran.includes(3), false)
  })

  it('fails the build when background work fails, and waits for it in drain', async () => {
    const { execute } = recorder()
    const scheduler = new Scheduler(execute, new AbortController().signal)
    const packing = deferred()
    let isPacked = false
    scheduler.background(
      packing.promise.then(() => {
        isPacked = true
        throw new Error('no space left')
      }),
    )
    await scheduler.solve(graphOf([scratch(0)]), 0)
    packing.resolve()
    await assert.rejects(scheduler.drain(), /no space left/)
    assert.equal(isPacked, true)
    assert.equal(scheduler.signal.aborted, true)
  })

  it("rejects with the caller's reason when it is aborted from outside", async () => {
    const controller = new AbortController()
    const { execute } = recorder(async (_id, signal) => {
      controller.abort(new Error('interrupted by SIGINT'))
      signal.throwIfAborted()
    })
    await assert.rejects(
      new Scheduler(execute, controller.signal).solve(graphOf([scratch(0)]), 0),
      /SIGINT/,
    )
  })
})

describe('definitionKeys', () => {
  it('differs by what a node does and by what is below it', () => {
    const run = (id: NodeId, parent: NodeId, args: string): Node => ({
      id,
      origin,
      kind: 'run',
      parent,
      args: ['/bin/sh', '-c', args],
      shell: ['/bin/sh', '-c'],
      env: [],
      cwd: '/',
      user: '',
      network: 'default',
      security: 'sandbox',
      mounts: [],
      scripts: [],
      devices: [],
      platform,
      proxyEnv: [`HTTP_PROXY=http://${id}`],
      hostname: undefined,
      display: args,
    })
    const nodes = [scratch(0), run(1, 0, 'a'), run(2, 0, 'b'), run(3, 1, 'a'), run(4, 0, 'a')]
    const { definitions } = graphOf(nodes)
    assert.equal(new Set(definitions).size, 4)
    // The proxy is not part of it.
    assert.equal(definitions[1], definitions[4])
  })
})
