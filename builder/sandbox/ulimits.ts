import { SandboxError } from './errors.ts'

export interface ResourceLimit {
  /** RLIMIT_* of asm-generic/resource.h, equal on amd64 and arm64. */
  readonly resource: number
  /** -1: no limit. */
  readonly soft: number
  readonly hard: number
}

const RESOURCES: ReadonlyMap<string, number> = new Map([
  ['cpu', 0],
  ['fsize', 1],
  ['data', 2],
  ['stack', 3],
  ['core', 4],
  ['rss', 5],
  ['nproc', 6],
  ['nofile', 7],
  ['memlock', 8],
  ['as', 9],
  ['locks', 10],
  ['sigpending', 11],
  ['msgqueue', 12],
  ['nice', 13],
  ['rtprio', 14],
  ['rttime', 15],
])

/** The name of a RLIMIT_*. */
export function limitName(resource: number): string {
  return [...RESOURCES].find(([, number]) => number === resource)?.[0] ?? String(resource)
}

/** More than this makes programs crawl that close whatever descriptor there might be: yum, older Java (features row X40). */
const OPEN_FILES_MAX = 1_048_576

/**
 * Resource limits as Docker names them, and one of open files where `own`, the text of this process's /proc/self/limits,
 * has more than programs can do with. Errors: `sandbox-limit-unsupported` for a name that the kernel does not have.
 */
export function resourceLimits(
  ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[],
  own: string,
): ResourceLimit[] {
  const isAsked = ulimits.some(({ name }) => name === 'nofile')
  return [...ulimits, ...(isAsked ? [] : cappedOpenFiles(own))].map(({ name, soft, hard }) => {
    const resource = RESOURCES.get(name)
    if (resource === undefined) {
      throw new SandboxError(
        'sandbox-limit-unsupported',
        `could not set ulimit ${JSON.stringify(name)}: there is no such limit`,
      )
    }
    return { resource, soft, hard }
  })
}

function cappedOpenFiles(
  own: string,
): { readonly name: string; readonly soft: number; readonly hard: number }[] {
  const [, soft, hard] = /^Max open files +(\S+) +(\S+)/m.exec(own) ?? []
  const [softCount, hardCount] = [soft, hard].map((text) =>
    text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text),
  )
  if (softCount === undefined || hardCount === undefined || !(hardCount > OPEN_FILES_MAX)) return []
  return [{ name: 'nofile', soft: Math.min(softCount, OPEN_FILES_MAX), hard: OPEN_FILES_MAX }]
}
