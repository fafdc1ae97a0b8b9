import { MergedLayers } from '../layer/merged-layers.ts'
import { normalizeEntries } from './normalize.ts'
import type { DiffEntry } from '../snapshotter.ts'

/** One item a page, so that whoever forgets what lies between two pages fails. */
export async function* pagesOf<T>(items: readonly T[]): AsyncGenerator<readonly T[]> {
  for (const item of items) yield [item]
}

export async function allOf<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = []
  for await (const page of pages) all.push(...page)
  return all
}

/** Layers of these entries, bottom first. */
export function mergedLayers<E extends DiffEntry>(
  layers: readonly (readonly E[])[],
): MergedLayers<E> {
  return new MergedLayers(
    layers.map((layer) => {
      const entries = normalizeEntries(layer)
      const page = (index: number): Promise<readonly E[]> =>
        Promise.resolve(entries.slice(index, index + 1))
      return { count: entries.length, page, hasLinks: true }
    }),
  )
}
