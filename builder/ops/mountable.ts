import type { NodeId, RunMount } from '../../frontend/index.ts'
import type { LayerDirectory } from '../../snapshotter/index.ts'
import type { LayerStack } from '../solver/layer.ts'

/** A tree that a RUN can mount: the filesystem of a stage or image, or a snapshot of what a context holds. */
export interface MountSource {
  /** Digest of what lies at `path`: names, modes, ids, types, links, bytes. */
  content(path: string, signal: AbortSignal): Promise<string>
  /** What tells a cache that begins with what lies at `path` from others: the content, and whether it is a file. */
  beginning(path: string, signal: AbortSignal): Promise<string>
  /** The tree as layers; at least `path` is there. */
  layers(path: string, signal: AbortSignal): Promise<MountedLayers>
  /** Writes what lies at `path` (contents of a directory, or a file as `CACHED_FILE`) as a layer directory: `<directory>/fs`. */
  writeTo(path: string, directory: string, signal: AbortSignal): Promise<void>
}

export interface MountedLayers {
  readonly stack: LayerStack
  /** The stack unpacked, bottom first. */
  readonly directories: readonly LayerDirectory[]
  /** Where in them the path lies that was asked for: a snapshot of a context has no links that led there. */
  readonly source: string
}

export function sourceOf(sources: ReadonlyMap<NodeId, MountSource>, id: NodeId): MountSource {
  const source = sources.get(id)
  if (source === undefined) {
    throw new RangeError(`node ${id} is no source of mounts`)
  }
  return source
}

/**
 * What tells caches of one id apart: the content that they begin with, or whose directory they begin as. BuildKit too
 * keeps a cache of its own for each.
 */
export async function beginningOf(
  { from, source, uid, gid, mode }: Extract<RunMount, { type: 'cache' }>,
  sources: ReadonlyMap<NodeId, MountSource>,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (from !== undefined) return await sourceOf(sources, from).beginning(source, signal)
  const isPlain = uid === 0 && gid === 0 && mode === CACHE_MODE
  return isPlain ? undefined : `${uid}:${gid} ${mode.toString(8)}`
}

/** Where a cache holds the file that it began with. */
export const CACHED_FILE = '/file'
const FILE_BEGINNING = 'file '

/** MountSource.beginning of a file with this content. */
export function fileBeginning(content: string): string {
  return `${FILE_BEGINNING}${content}`
}

export function isFileBeginning(initial: string | undefined): boolean {
  return initial?.startsWith(FILE_BEGINNING) ?? false
}

/** What the frontend gives to a cache mount that says nothing of it. */
const CACHE_MODE = 0o755
