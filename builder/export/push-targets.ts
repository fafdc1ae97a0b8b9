import { parseReference, type Reference } from '../../registry-client/oci/index.ts'

/** A repository that is pushed to, with the names that lie in it. */
export interface PushTarget {
  readonly registry: string
  readonly repository: string
  readonly names: readonly Reference[]
}

/** The repositories of normalised names, in the order of the names. */
export function pushTargets(names: readonly string[]): PushTarget[] {
  const targets = new Map<string, PushTarget & { readonly names: Reference[] }>()
  for (const name of names.map(parseReference)) {
    const { registry, repository } = name
    const key = `${registry}/${repository}`
    const target = targets.get(key) ?? { registry, repository, names: [] }
    target.names.push(name)
    targets.set(key, target)
  }
  return [...targets.values()]
}

/** The repositories alone, as what is pushed by digest is called: its tag is not written. */
export function repositoryNames(names: readonly string[]): string[] {
  return names.map(parseReference).map(({ registry, repository }) => `${registry}/${repository}`)
}
