import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { BenchError } from './errors.ts'

export interface BenchOptions {
  /** Directory for contexts and our state root; kept, so that a second run makes nothing again. */
  readonly data: string
  /** Address of a Docker engine; undefined: no BuildKit in the comparison. */
  readonly dockerHost: string | undefined
  /** How buildx is called: the CLI with its plugin, or the plugin by itself. */
  readonly buildx: readonly string[]
  /** Network of BuildKit's steps; `host` where its engine has no bridge. */
  readonly network: string
  /** Registry that everybody pushes to; undefined: workloads that push are left out. */
  readonly registry: string | undefined
  /** Put before the names of base images. */
  readonly bases: string
  readonly builders: readonly string[]
  readonly only: readonly string[]
  readonly isAll: boolean
  /** Instead of each workload's own number. */
  readonly runs: number | undefined
  readonly withMemory: boolean
  /** File to write the report into; undefined: only to stdout. */
  readonly report: string | undefined
}

export const USAGE = `npm run bench -- [OPTIONS]
  --docker-host URL     Docker engine with BuildKit to compare with (default: DOCKER_HOST)
  --buildx COMMAND      how buildx is called (default: "docker buildx")
  --network MODE        network of BuildKit's steps (default: default)
  --registry HOST:PORT  registry to push to; without it those workloads are left out
  --bases PREFIX        put before busybox and node:20 (default: docker.io/library/)
  --builders LIST       of tsbuild, buildkit, buildah
  --only LIST           workloads by id
  --all                 the slow ones too: growth, 500,000 files, 8 GB
  --runs N              instead of each workload's number
  --no-memory           without the extra run of each workload that watches memory
  --data DIR            for contexts and state (default: in the temporary directory)
  --report FILE         replaces the results in this Markdown file`

/** Errors: `usage`. */
export function readOptions(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): BenchOptions {
  const { values } = parse(args)
  const runs = values.runs === undefined ? undefined : Number(values.runs)
  if (runs !== undefined && !(Number.isInteger(runs) && runs > 0)) {
    throw new BenchError('usage', `--runs ${values.runs}: not a number of runs\n${USAGE}`)
  }
  return {
    data: resolve(values.data ?? join(tmpdir(), 'tsbuild-bench')),
    dockerHost: values['docker-host'] ?? env['DOCKER_HOST'],
    buildx: (values.buildx ?? 'docker buildx').split(' '),
    network: values.network ?? 'default',
    registry: values.registry,
    bases: values.bases ?? 'docker.io/library/',
    builders: listOf(values.builders),
    only: listOf(values.only),
    isAll: values.all ?? false,
    runs,
    withMemory: values['no-memory'] !== true,
    report: values.report,
  }
}

const FLAGS = {
  'docker-host': { type: 'string' },
  buildx: { type: 'string' },
  network: { type: 'string' },
  registry: { type: 'string' },
  bases: { type: 'string' },
  builders: { type: 'string' },
  only: { type: 'string' },
  all: { type: 'boolean' },
  runs: { type: 'string' },
  'no-memory': { type: 'boolean' },
  data: { type: 'string' },
  report: { type: 'string' },
} as const

function parse(args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof FLAGS }>> {
  try {
    return parseArgs({ args: [...args], options: FLAGS })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new BenchError('usage', `${reason}\n${USAGE}`)
  }
}

function listOf(text: string | undefined): string[] {
  return (text ?? '').split(',').filter((item) => item !== '')
}
