import type { DiffId } from '../../../registry-client/oci/index.ts'
import type { CacheKey } from '../../solver/cache-key.ts'
import type { RemoteBlob } from '../../solver/layer.ts'
import type { StepReporter } from '../../solver/steps.ts'
import type { CachedStep } from './cache-document.ts'
import { type CachePlace, type LoadedCache, loadCache } from './load-cache.ts'

/**
 * All `--cache-from` of a build (features rows C84, K33): read side by side while the build begins; the first one that
 * has an answer gives it. One that cannot be used is a warning (row C78).
 */
export class RemoteCaches {
  readonly #loaded: Promise<readonly LoadedCache[]>
  readonly #forgotten = new Set<DiffId>()

  private constructor(loaded: Promise<readonly LoadedCache[]>) {
    this.#loaded = loaded
  }

  static open(
    places: readonly CachePlace[],
    steps: StepReporter,
    signal: AbortSignal,
  ): RemoteCaches {
    const loading = Promise.all(places.map((place) => loadOrWarn(place, steps, signal)))
    const loaded = loading.then((all) => all.filter((one) => one !== undefined))
    // Whoever asks gets the failure (an abort); perhaps nobody does.
    loaded.catch(() => undefined)
    return new RemoteCaches(loaded)
  }

  /** All that caches say of a step; one whose layer can be fetched comes first. */
  async step(key: CacheKey): Promise<CachedStep | undefined> {
    const found = await this.#collect((cache) => cache.steps.get(key))
    for (const step of found) {
      if ((await this.blob(step.diffId)) !== undefined) {
        return step
      }
    }
    return found[0]
  }

  async alias(alias: CacheKey): Promise<CacheKey | undefined> {
    return (await this.#collect((cache) => cache.aliases.get(alias)))[0]
  }

  async blob(diffId: DiffId): Promise<RemoteBlob | undefined> {
    return this.#forgotten.has(diffId)
      ? undefined
      : (await this.#collect((cache) => cache.blobs.get(diffId)))[0]
  }

  /** No cache has this layer from now on: what they gave is not it. */
  forget(diffId: DiffId): void {
    this.#forgotten.add(diffId)
  }

  async #collect<Value>(ask: (cache: LoadedCache) => Value | undefined): Promise<Value[]> {
    return (await this.#loaded).map(ask).filter((value) => value !== undefined)
  }
}

async function loadOrWarn(
  place: CachePlace,
  steps: StepReporter,
  signal: AbortSignal,
): Promise<LoadedCache | undefined> {
  const step = steps.start(`importing cache from ${place.name}`)
  try {
    const cache = await loadCache(place, signal)
    step.end('done')
    return cache
  } catch (error) {
    step.end(signal.aborted ? 'canceled' : 'done')
    signal.throwIfAborted()
    const reason = error instanceof Error ? error.message : String(error)
    steps.warning(`could not use cache ${place.name}: ${reason}; building without it`)
    return undefined
  }
}
