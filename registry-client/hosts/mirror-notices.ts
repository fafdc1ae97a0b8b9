import { familiarName, type Reference } from '../oci/index.ts'
import type { PullPlace } from './pull-places.ts'

/** Tells which mirror served, once for each repository. */
export class MirrorNotices {
  readonly #onNotice: (text: string) => void
  readonly #told = new Set<string>()

  constructor(onNotice: (text: string) => void) {
    this.#onNotice = onNotice
  }

  /** `reference` was had from `place`, which may be the registry itself. */
  served(reference: Reference, place: Pick<PullPlace, 'reference'>): void {
    const { registry, repository } = place.reference
    if (registry === reference.registry) return
    const text = `${familiarName(reference)} comes from the mirror ${registry}/${repository}`
    if (this.#told.has(text)) return
    this.#told.add(text)
    this.#onNotice(text)
  }
}
