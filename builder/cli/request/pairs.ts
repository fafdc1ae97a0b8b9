import { UsageError } from '../errors.ts'

/** `--build-arg`: `K=V`, or `K` with the value of the environment variable; not set there = not passed (features row C16). */
export function readBuildArgs(
  values: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Map<string, string> {
  const args = new Map<string, string>()
  for (const text of values) {
    const equals = text.indexOf('=')
    const key = equals < 0 ? text : text.slice(0, equals)
    if (key === '') {
      throw new UsageError(`invalid argument "${text}" for "--build-arg" flag: the name is missing`)
    }
    const value = equals < 0 ? env[key] : text.slice(equals + 1)
    if (value !== undefined) {
      args.set(key, value)
    }
  }
  return args
}

/** `--label`: `k=v`; `k` alone has an empty value (features row C19). */
export function readLabels(values: readonly string[]): Map<string, string> {
  return new Map(
    values.map((text) => {
      const equals = text.indexOf('=')
      const key = equals < 0 ? text : text.slice(0, equals)
      if (key === '') {
        throw new UsageError(`invalid argument "${text}" for "--label" flag: the name is missing`)
      }
      return [key, equals < 0 ? '' : text.slice(equals + 1)] as const
    }),
  )
}
