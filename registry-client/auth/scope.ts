/**
 * What a token is for: `repository:library/alpine:pull,push` (distribution's token specification).
 */
export interface Scope {
  /** Type and name, e.g. `repository:library/alpine`. */
  readonly resource: string
  readonly actions: readonly string[]
}

export function repositoryScope(repository: string, ...actions: readonly string[]): Scope {
  return { resource: `repository:${repository}`, actions }
}

/**
 * The scopes of a challenge's `scope` parameter: separated by blanks; names may hold colons,
 * actions may not.
 */
export function parseScopes(text: string | undefined): Scope[] {
  return (text ?? '').split(/\s+/).flatMap((part) => {
    const colon = part.lastIndexOf(':')
    if (colon <= 0) return []
    return [
      {
        resource: part.slice(0, colon),
        actions: part
          .slice(colon + 1)
          .split(',')
          .filter((action) => action !== ''),
      },
    ]
  })
}

/**
 * One text per resource, sorted, with the actions of all given scopes for it (features row R21):
 * equal rights give equal texts, so they can be keys. `pull` comes before `push` because some token
 * servers compare texts.
 */
export function formatScopes(scopes: readonly Scope[]): string[] {
  const actionsOf = new Map<string, Set<string>>()
  for (const { resource, actions } of scopes) {
    const merged = actionsOf.get(resource) ?? new Set()
    for (const action of actions) merged.add(action)
    actionsOf.set(resource, merged)
  }
  return [...actionsOf]
    .map(([resource, actions]) => `${resource}:${[...actions].sort().join(',')}`)
    .sort()
}
