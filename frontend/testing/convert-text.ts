import type { ConvertOptions } from '../convert-options.ts'
import { convert } from '../convert.ts'
import { parseDockerfile } from '../dockerfile.ts'
import { DockerfileErrors } from '../errors.ts'
import type { BuildGraph, CopyNode, MkdirNode, Node, RunNode } from '../graph.ts'
import type { StageImageConfig } from '../image-config.ts'
import type { ImageResolver, ResolvedContext } from '../resolver.ts'

/** A resolver that knows some images and contexts and notes what it was asked for. */
export interface RecordingResolver extends ImageResolver {
  readonly asked: string[]
}

export interface FakeWorld {
  /** Configs by full reference; an image that is not here has a small config of its own. */
  readonly images?: Readonly<Record<string, StageImageConfig>>
  readonly contexts?: Readonly<Record<string, ResolvedContext>>
  /** References that cannot be resolved. */
  readonly missing?: readonly string[]
}

export function fakeResolver(world: FakeWorld = {}): RecordingResolver {
  const asked: string[] = []
  return {
    asked,
    async resolveImage(reference, platform) {
      asked.push(`${reference} ${platform.os}/${platform.architecture}`)
      if (world.missing?.includes(reference)) throw new Error('not found')
      const { os, architecture } = platform
      const config = world.images?.[reference] ?? { os, architecture, config: { Cmd: ['sh'] } }
      return { reference, resolved: `manifest of ${reference}`, config }
    },
    async resolveContext(name) {
      asked.push(`context ${name}`)
      return world.contexts?.[name] ?? { kind: 'tree' }
    },
  }
}

const LINUX = { os: 'linux', architecture: 'amd64' }

export function optionsWith(changes: Partial<ConvertOptions> = {}): ConvertOptions {
  return {
    target: undefined,
    buildArgs: new Map(),
    buildPlatform: LINUX,
    targetPlatform: LINUX,
    isPlatformExplicit: false,
    isMultiPlatform: false,
    namedContexts: new Set(),
    labels: new Map(),
    noCache: false,
    noCacheFilter: [],
    network: 'default',
    hostname: undefined,
    ...changes,
  }
}

/** The graph of a Dockerfile given as lines. */
export function convertText(
  lines: readonly string[],
  changes: Partial<ConvertOptions> = {},
  resolver: ImageResolver = fakeResolver(),
): Promise<BuildGraph> {
  const parsed = parseDockerfile(`${lines.join('\n')}\n`, { name: 'Dockerfile' })
  return convert(parsed, optionsWith(changes), resolver, new AbortController().signal)
}

/** The errors of a Dockerfile that must not convert, as `line code: message`. */
export async function faultsOf(
  lines: readonly string[],
  changes: Partial<ConvertOptions> = {},
  resolver: ImageResolver = fakeResolver(),
): Promise<string[]> {
  try {
    await convertText(lines, changes, resolver)
  } catch (error) {
    if (!(error instanceof DockerfileErrors)) throw error
    return error.list.map(
      ({ range, code, message }) => `${range?.startLine ?? '-'} ${code}: ${message}`,
    )
  }
  throw new Error('the Dockerfile converted')
}

/** `created_by` of the entries that the target adds. */
export function historyOf(graph: BuildGraph): string[] {
  return graph.history.map(({ createdBy }) => createdBy)
}

export function runNodes(graph: BuildGraph): RunNode[] {
  return graph.nodes.filter((node): node is RunNode => node.kind === 'run')
}

export function copyNodes(graph: BuildGraph): CopyNode[] {
  return graph.nodes.filter((node): node is CopyNode => node.kind === 'copy')
}

export function mkdirNodes(graph: BuildGraph): MkdirNode[] {
  return graph.nodes.filter((node): node is MkdirNode => node.kind === 'mkdir')
}

/** The node with `id`. */
export function nodeOf(graph: BuildGraph, id: number): Node {
  const node = graph.nodes[id]
  if (node === undefined) throw new Error(`no node ${id}`)
  return node
}
