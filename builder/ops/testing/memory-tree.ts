import { type Digest, digestOf } from '../../../registry-client/oci/index.ts'
import { comparePaths, type LayerPath, type PackSource } from '../../../snapshotter/index.ts'
import type { SourceTree, TreeEntry, TreeFile, TreePlace } from '../copy-source.ts'

/** A path of a tree for tests. A string is a file's content, `-> x` a symlink, null a directory. */
export type MemoryFile =
  | string
  | null
  | {
      readonly content?: string
      readonly symlink?: string
      readonly dir?: true
      readonly fifo?: true
      readonly mode?: number
      readonly uid?: number
      readonly gid?: number
      readonly mtimeSec?: number
      readonly linkGroup?: string
    }

/** A tree that is written down in a test; directories that are not named are made. Counts what it is asked for. */
export class MemoryTree implements SourceTree {
  readonly description = 'the build context'
  readonly hashedPaths: LayerPath[] = []
  readonly #entries = new Map<LayerPath, TreeEntry>()
  readonly #contents = new Map<LayerPath, string>()

  readonly identity?: string

  constructor(files: Readonly<Record<string, MemoryFile>>, identity?: string) {
    if (identity !== undefined) {
      this.identity = identity
    }
    this.#entries.set('', { type: 'dir', path: '', mode: 0o755, uid: 0, gid: 0, mtimeSec: 1 })
    for (const [path, file] of Object.entries(files)) {
      this.#add(path, file)
    }
  }

  async lookup(path: LayerPath): Promise<TreeEntry | undefined> {
    return this.#entries.get(path)
  }

  async list(path: LayerPath): Promise<readonly TreeEntry[]> {
    const prefix = path === '' ? '' : `${path}/`
    return [...this.#entries.values()]
      .filter((entry) => entry.path !== '' && entry.path.startsWith(prefix))
      .filter((entry) => !entry.path.slice(prefix.length).includes('/'))
      .sort((a, b) => (a.path < b.path ? -1 : 1))
  }

  async *walk(path: LayerPath): AsyncGenerator<readonly TreeEntry[]> {
    const prefix = path === '' ? '' : `${path}/`
    const below = [...this.#entries.values()].filter(
      (entry) => entry.path !== '' && entry.path.startsWith(prefix),
    )
    // One a page, so that whoever forgets what lies between two pages fails.
    for (const entry of below.sort((a, b) => comparePaths(a.path, b.path))) {
      yield [entry]
    }
  }

  async fileDigests(files: readonly TreeFile[]): Promise<readonly Digest[]> {
    this.hashedPaths.push(...files.map(({ path }) => path))
    return files.map(({ path }) => digestOf(this.#contents.get(path) ?? ''))
  }

  source({ path }: TreePlace): PackSource {
    return { kind: 'path', root: '/memory', path }
  }

  #add(path: LayerPath, file: MemoryFile): void {
    const slash = path.lastIndexOf('/')
    if (slash >= 0 && !this.#entries.has(path.slice(0, slash))) {
      this.#add(path.slice(0, slash), null)
    }
    const spec = normalize(file)
    const metadata = {
      path,
      mode: spec.mode ?? (spec.dir === true ? 0o755 : 0o644),
      uid: spec.uid ?? 0,
      gid: spec.gid ?? 0,
      mtimeSec: spec.mtimeSec ?? 1,
    }
    if (spec.dir === true) {
      this.#entries.set(path, { ...metadata, type: 'dir' })
    } else if (spec.symlink !== undefined) {
      this.#entries.set(path, { ...metadata, type: 'symlink', mode: 0o777, target: spec.symlink })
    } else if (spec.fifo === true) {
      this.#entries.set(path, { ...metadata, type: 'fifo' })
    } else {
      const content = spec.content ?? ''
      this.#contents.set(path, content)
      const { linkGroup } = spec
      this.#entries.set(path, { ...metadata, type: 'file', sizeBytes: content.length, linkGroup })
    }
  }
}

function normalize(file: MemoryFile): Exclude<MemoryFile, string | null> {
  if (file === null) {
    return { dir: true }
  }
  if (typeof file === 'string') {
    return file.startsWith('-> ') ? { symlink: file.slice(3) } : { content: file }
  }
  return file
}
