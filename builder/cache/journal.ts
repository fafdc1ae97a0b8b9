import type { CacheKey } from '../solver/cache-key.ts'
import type { BuildLayer } from '../solver/layer.ts'
import type { CachedAlias, CachedStep } from './remote/cache-document.ts'

/** The steps of a build, found or executed, for `--cache-to`. */
export class CacheJournal {
  readonly #steps = new Map<CacheKey, CachedStep & { readonly layer: BuildLayer }>()
  readonly #aliases = new Map<CacheKey, CacheKey>()

  step(step: CachedStep & { readonly layer: BuildLayer }): void {
    const inputs = step.inputs?.kind === 'copy' ? step.inputs : undefined
    this.#steps.set(step.key, { ...step, inputs })
  }

  alias(alias: CacheKey, key: CacheKey): void {
    this.#aliases.set(alias, key)
  }

  get steps(): CachedStep[] {
    return [...this.#steps.values()].map(({ layer: _layer, ...step }) => step)
  }

  get aliases(): CachedAlias[] {
    return [...this.#aliases].map(([alias, key]) => ({ alias, key }))
  }

  /** Layers of all steps, each once. */
  get layers(): BuildLayer[] {
    const layers = new Map([...this.#steps.values()].map(({ diffId, layer }) => [diffId, layer]))
    return [...layers.values()]
  }
}
