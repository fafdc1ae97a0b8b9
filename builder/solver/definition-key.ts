import type { CopySource, Node, NodeId, RunMount } from '../../frontend/index.ts'
import { hashValue, type KeyValue } from './canonical.ts'

/**
 * Names a node by what it is made of, known before anything runs: H(definitions of the inputs, the operation).
 * Nodes with equal definitions are the same work: they run once in a build, and other processes wait for the lock of
 * that name. It is not a cache key: a context with changed files keeps its definition.
 */
export type DefinitionKey = string

export interface DefinitionScope {
  /** Tells contexts of different builds apart (their locations), so that they do not wait for each other. */
  contextIdentity(name: string): string
  /** What the whole build adds to every RUN (hosts, limits ...). */
  readonly runOptions: KeyValue
}

/** Keys of all nodes, by NodeId. Parents come before children in the graph, so one pass is enough. */
export function definitionKeys(nodes: readonly Node[], scope: DefinitionScope): DefinitionKey[] {
  const keys: DefinitionKey[] = []
  const of = (id: NodeId): DefinitionKey => {
    const key = keys[id]
    if (key === undefined) {
      throw new RangeError(`node ${id} is used before it is defined`)
    }
    return key
  }
  for (const node of nodes) {
    keys.push(hashValue(describe(node, of, scope)))
  }
  return keys
}

/** Direct inputs of a node, in a fixed order and without duplicates. */
export function inputsOf(node: Node): NodeId[] {
  switch (node.kind) {
    case 'image':
    case 'scratch':
    case 'context':
    case 'http':
    case 'git':
      return []
    case 'mkdir':
      return [node.parent]
    case 'run':
      return unique([node.parent, ...node.mounts.flatMap(mountInput)])
    case 'copy':
      return unique([
        node.parent,
        ...node.sources.flatMap((source) => (source.type === 'path' ? [source.from] : [])),
      ])
    default:
      return node satisfies never
  }
}

function describe(node: Node, of: (id: NodeId) => string, scope: DefinitionScope): KeyValue {
  // `ignoreCache` belongs to the definition: the same step with and without cache is two different wishes.
  const ignoreCache = node.origin.ignoreCache
  switch (node.kind) {
    case 'image':
      return { kind: node.kind, resolved: node.resolved }
    case 'scratch':
      return { kind: node.kind }
    case 'context':
      return { kind: node.kind, location: scope.contextIdentity(node.name) }
    case 'http':
      return { kind: node.kind, url: node.url, checksum: node.checksum, filename: node.filename }
    case 'git': {
      const { id: _id, origin: _origin, ...rest } = node
      return { ...rest }
    }
    case 'mkdir':
      return {
        kind: node.kind,
        ignoreCache,
        parent: of(node.parent),
        path: node.path,
        user: node.user,
        epochSec: node.epochSec,
      }
    case 'run': {
      const { id: _id, origin: _origin, proxyEnv: _proxyEnv, display: _display, ...others } = node
      const { shell: _shell, ...rest } = others
      return {
        ...rest,
        ignoreCache,
        parent: of(node.parent),
        platform: { ...node.platform },
        mounts: node.mounts.map((mount) => describeMount(mount, of)),
        options: scope.runOptions,
      }
    }
    case 'copy': {
      const { id: _id, origin: _origin, ...rest } = node
      return {
        ...rest,
        ignoreCache,
        parent: of(node.parent),
        sources: node.sources.map((source) => describeSource(source, of)),
      }
    }
    default:
      return node satisfies never
  }
}

function describeMount(mount: RunMount, of: (id: NodeId) => string): KeyValue {
  if (mount.type === 'bind' || mount.type === 'cache') {
    return { ...mount, from: mount.from === undefined ? undefined : of(mount.from) }
  }
  return { ...mount }
}

/** What a COPY does, apart from its inputs: the part of its alias key that is not a filesystem. */
function describeSource(source: CopySource, of: (id: NodeId) => string): KeyValue {
  return source.type === 'path' ? { ...source, from: of(source.from) } : { ...source }
}

function mountInput(mount: RunMount): NodeId[] {
  return (mount.type === 'bind' || mount.type === 'cache') && mount.from !== undefined
    ? [mount.from]
    : []
}

function unique(ids: readonly NodeId[]): NodeId[] {
  return [...new Set(ids)]
}
