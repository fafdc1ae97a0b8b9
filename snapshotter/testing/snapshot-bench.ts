import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf } from '../../registry-client/oci/index.ts'
import type { LayerEntry } from '../layer/entry.ts'
import type { Kernel, PackEntry } from '../native/kernel-types.ts'
import type { DiffEntry, LayerDirectory, Snapshotter } from '../snapshotter.ts'
import { temporaryDirectory } from './temporary-directory.ts'
import { mountRoot } from './test-mounts.ts'

export interface SnapshotterParts {
  readonly kernel: Kernel
  /** Driver with its own `workDir`. */
  readonly make: (workDir: string) => Snapshotter
  /** In a user namespace with one id there are no other owners and no devices; a `user` has no file capabilities either. */
  readonly privileges: 'root' | 'user-namespace' | 'user'
}

/** A committed step. */
export interface BenchStep {
  readonly directory: LayerDirectory
  /** Without the sources of files. */
  readonly changes: readonly DiffEntry[]
}

export type Change = (dir: string) => Promise<void>

export const never: AbortSignal = new AbortController().signal

/** A driver with a work directory, and steps over it as a build does them. */
export class Bench implements AsyncDisposable {
  readonly snapshotter: Snapshotter
  readonly workDir: string
  readonly layersDir: string
  readonly #place: AsyncDisposable
  #count = 0

  private constructor(parts: SnapshotterParts, place: AsyncDisposable & { readonly path: string }) {
    this.#place = place
    this.workDir = join(place.path, 'work')
    this.layersDir = join(place.path, 'layers')
    this.snapshotter = parts.make(this.workDir)
  }

  static async open(parts: SnapshotterParts): Promise<Bench> {
    const bench = new Bench(parts, await temporaryDirectory())
    await mkdir(bench.workDir)
    await mkdir(bench.layersDir)
    return bench
  }

  newDirectory(): LayerDirectory {
    this.#count += 1
    return { path: join(this.layersDir, `layer-${this.#count}`) }
  }

  /** One step: `change` at the root over `parents`, committed. */
  async step(parents: readonly LayerDirectory[], change: Change): Promise<BenchStep> {
    await using snapshot = await this.snapshotter.prepare(parents, never)
    {
      await using mounted = await mountRoot(snapshot.root)
      await change(mounted.dir)
    }
    const { directory, changes } = await snapshot.commit(never, this.newDirectory())
    await using _changes = changes
    const all: DiffEntry[] = []
    for await (const page of changes.pages()) all.push(...page.map(withoutSource))
    return { directory, changes: all }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#place[Symbol.asyncDispose]())
  }
}

function withoutSource(entry: PackEntry): DiffEntry {
  if (entry.type !== 'file') return entry
  const { source: _source, ...rest } = entry
  return rest
}

export function summary(changes: readonly DiffEntry[]): string[] {
  return changes.map((entry) => `${entry.type} ${entry.path}`)
}

/** Entries as a table of contents has them; digests are not what these tests are about. */
export function asEntries(changes: readonly DiffEntry[]): LayerEntry[] {
  return changes.map((entry) =>
    entry.type === 'file' ? { ...entry, digest: digestOf(entry.path) } : entry,
  )
}

/** An entry with attribute values that compare and print as text. */
export function readable(entry: DiffEntry): unknown {
  if (!('xattrs' in entry)) return entry
  const xattrs = entry.xattrs?.map(({ name, value }) => ({
    name,
    value: Buffer.from(value).toString('hex'),
  }))
  return { ...entry, xattrs }
}
