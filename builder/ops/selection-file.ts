import {
  decodePackEntries,
  encodePackEntries,
  type PackColumns,
  type PackEntry,
  PageFile,
} from '../../snapshotter/index.ts'

/** Something below a directory that a source names. */
export interface SelectedItem {
  /**
   * As it is in the tree; its path, and a hardlink's target, are below the directory. The source of a file is its
   * `TreePlace`.
   */
  readonly entry: PackEntry
  /** A directory that is there only because of what was selected below it (features rows D107, D109). */
  readonly isImplied: boolean
  /** Mode of an implied directory in its source, when --chmod made another of it. */
  readonly ownMode?: number
}

/** What is below a directory, parents first, sorted by components. */
export interface SelectedItems {
  readonly count: number
  /** Whether something is there that is not implied. */
  readonly hasOwn: boolean
  /** Of the places of the files. */
  readonly roots: ReadonlySet<string>
  pages(): AsyncIterable<readonly SelectedItem[]>
}

interface ItemColumns {
  readonly entries: PackColumns
  /** Which of them are implied. */
  readonly implied: readonly number[]
}

const CODEC = {
  encode: (items: readonly SelectedItem[]): ItemColumns => ({
    entries: encodePackEntries(items.map(({ entry }) => entry)),
    implied: items.flatMap(({ isImplied }, index) => (isImplied ? [index] : [])),
  }),
  decode: ({ entries, implied }: ItemColumns): SelectedItem[] => {
    const marked = new Set(implied)
    return decodePackEntries(entries).map((entry, index) => ({
      entry,
      isImplied: marked.has(index),
    }))
  },
}

/** The lists of a selection, in one file. */
export class SelectionFile implements AsyncDisposable {
  readonly #newFile: () => string
  #file: PageFile<SelectedItem, ItemColumns> | undefined

  constructor(newFile: () => string) {
    this.#newFile = newFile
  }

  async list(
    pages: AsyncIterable<readonly SelectedItem[]> | Iterable<readonly SelectedItem[]>,
  ): Promise<SelectedItems> {
    let hasOwn = false
    let count = 0
    const roots = new Set<string>()
    const first = this.#file?.pageCount ?? 0
    for await (const page of pages) {
      this.#file ??= new PageFile(this.#newFile, CODEC)
      await this.#file.add(page)
      count += page.length
      hasOwn ||= page.some(({ isImplied }) => !isImplied)
      for (const { entry } of page) {
        if (entry.type === 'file' && entry.source.kind === 'path') roots.add(entry.source.root)
      }
    }
    await this.#file?.endPage()
    const file = this.#file
    const end = file?.pageCount ?? 0
    return { count, hasOwn, roots, pages: () => file?.pages(first, end) ?? nothing() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.[Symbol.asyncDispose]()
    this.#file = undefined
  }
}

async function* nothing(): AsyncGenerator<never> {}
