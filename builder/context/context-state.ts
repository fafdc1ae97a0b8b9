import { type Digest, digestOf } from '../../registry-client/oci/index.ts'
import { errnoOf, type Kernel, type LayerPath } from '../../snapshotter/index.ts'
import { hashValue } from '../solver/canonical.ts'
import { recallJson, rememberJson } from './remembered-json.ts'

export interface ContextStateOptions {
  readonly kernel: Pick<Kernel, 'treeState'>
  /** Host directory of the context. */
  readonly root: string
  /** What is ignored in it, in order. */
  readonly patterns: readonly string[]
  /** File to remember ignored directories in; its directory exists. */
  readonly file: string
  /** Gives the path of the unfinished file, on the same file system. */
  readonly temporaryPath: (kind: string) => string
  readonly signal: AbortSignal
  readonly now?: () => number
}

/** As for the stat cache: what changed less than this ago could change again and look the same. One second more, as it counts in seconds. */
const SETTLED_AFTER_MS = 3000
const CLOSED_MAX = 10_000

/**
 * Tells that a part of a context is what it was in an earlier build without making a list of it: 50,000 unchanged files
 * cost their stats and nothing else. Directories that are ignored with all they hold are not entered; which those are is
 * remembered from the build before, as only a list of the context says it.
 */
export class ContextState {
  readonly #options: ContextStateOptions
  readonly #patternsKey: Digest
  readonly #states = new Map<LayerPath, Promise<Digest | undefined>>()
  #closed: Promise<readonly LayerPath[] | undefined> | undefined

  constructor(options: ContextStateOptions) {
    this.#options = options
    this.#patternsKey = hashValue(options.patterns)
  }

  /** Names what is at `path`; undefined when that cannot be told, or not yet because it was changed just now. */
  of(path: LayerPath): Promise<Digest | undefined> {
    const known = this.#states.get(path)
    if (known !== undefined) {
      return known
    }
    const state = this.#look(path)
    this.#states.set(path, state)
    return state
  }

  /** Remembers directories that are ignored with all they hold, for the next build. */
  async remember(closed: readonly LayerPath[]): Promise<void> {
    const before = (await this.#readClosed()) ?? []
    const all = [...new Set([...closed, ...before])].slice(0, CLOSED_MAX)
    const isNew = (await this.#readClosed()) === undefined || all.length > before.length
    if (this.#options.patterns.length === 0 || !isNew) {
      return
    }
    const { temporaryPath, file } = this.#options
    const state = { patterns: this.#patternsKey, closed: all }
    await rememberJson(file, state, temporaryPath('context-state'))
  }

  async #look(path: LayerPath): Promise<Digest | undefined> {
    const { kernel, root, signal, now = Date.now } = this.#options
    const skips = await this.#readClosed()
    if (skips === undefined) {
      return undefined
    }
    const lookedAtMs = now()
    try {
      const { state, newestSec } = await kernel.treeState({ root, path, skips, signal })
      return newestSec * 1000 + SETTLED_AFTER_MS <= lookedAtMs
        ? digestOf(`${state} ${this.#patternsKey}`)
        : undefined
    } catch (error) {
      signal.throwIfAborted()
      // Missing, a link, unreadable: whoever lists the context says what is the matter.
      if (errnoOf(error) !== undefined) {
        return undefined
      }
      throw error
    }
  }

  /** Undefined: there are patterns, and nobody knows yet what they close. */
  #readClosed(): Promise<readonly LayerPath[] | undefined> {
    this.#closed ??= this.#options.patterns.length === 0 ? Promise.resolve([]) : this.#readFile()
    return this.#closed
  }

  async #readFile(): Promise<readonly LayerPath[] | undefined> {
    const value = await recallJson(this.#options.file)
    if (
      typeof value !== 'object' ||
      value === null ||
      !('patterns' in value && value.patterns === this.#patternsKey) ||
      !('closed' in value && Array.isArray(value.closed))
    ) {
      return undefined
    }
    const closed: unknown[] = value.closed
    return closed.filter(
      (path): path is LayerPath => typeof path === 'string' && /^[^\0]+$/s.test(path),
    )
  }
}
