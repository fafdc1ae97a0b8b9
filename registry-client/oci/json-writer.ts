type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>
}

/** `object` without its undefined members: what is absent in JSON is absent in memory. */
export function withoutUndefined<T extends object>(object: T): Defined<T> {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== undefined),
  ) as Defined<T>
}

/** `object` without those of `keys` that hold nothing (`''`, `[]`, `{}`, `0`, `false`): Go leaves such members out. */
export function withoutEmpty(
  object: Readonly<Record<string, unknown>>,
  keys: readonly string[],
): Record<string, unknown> {
  const isEmpty = (value: unknown): boolean =>
    typeof value === 'object' && value !== null ? Object.keys(value).length === 0 : !value
  return Object.fromEntries(
    Object.entries(object).filter(([key, value]) => !keys.includes(key) || !isEmpty(value)),
  )
}

/** A map with its keys sorted, as Go writes maps; undefined stays undefined. */
export function sortedMap<T>(
  map: Readonly<Record<string, T>> | undefined,
): Record<string, T> | undefined {
  if (map === undefined) return undefined
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => compareText(a, b)))
}

/**
 * `object` with the keys of `order` first and all others after them, sorted: equal content gives
 * equal bytes, however the object came about. Keys that look like array indexes come first in
 * JavaScript whatever we do; that too is deterministic.
 */
export function inKeyOrder(
  object: Readonly<Record<string, unknown>>,
  order: readonly string[],
): Record<string, unknown> {
  const rankOf = (key: string): number => {
    const index = order.indexOf(key)
    return index === -1 ? order.length : index
  }
  const entries = Object.entries(object).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries.sort(([a], [b]) => rankOf(a) - rankOf(b) || compareText(a, b)))
}

/**
 * Order by UTF-8 bytes, as Go sorts; comparing UTF-16 units would differ outside the basic plane.
 */
function compareText(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
