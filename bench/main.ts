import { readFile, writeFile } from 'node:fs/promises'
import { type Builder, findBuilders } from './builders.ts'
import { compare, type Comparison } from './compare.ts'
import { BenchError } from './errors.ts'
import { type BenchOptions, readOptions } from './options.ts'
import { BEGIN, END, median, reportOf, withReport } from './report.ts'
import { type Workload, WORKLOADS } from './workloads.ts'

/** Compares the builders of this machine: the table goes to stdout and, with `--report`, into a document. */
async function main(args: readonly string[]): Promise<void> {
  const options = readOptions(args, process.env)
  const builders = findBuilders(options)
  const comparisons: Comparison[] = []
  const command = ['npm run bench --', ...withoutPlaces(args)].join(' ')
  const failures: string[] = []
  for (const workload of chosen(options)) {
    const comparison = await compareOrTell(workload, builders, options)
    if (typeof comparison === 'string') {
      failures.push(workload.id)
      process.stderr.write(`${workload.id}: ${comparison}\n`)
      continue
    }
    comparisons.push(comparison)
    const results = [...comparison.series].map(
      ([id, { seconds }]) => `${id} ${median(seconds).toFixed(2)} s`,
    )
    process.stderr.write(`${workload.id.padEnd(22)}${results.join('  ')}\n`)
    // After each one: whoever stops it has what was measured until then.
    if (options.report !== undefined) {
      await putReport(options.report, reportOf({ builders, comparisons, command }))
    }
  }
  process.stdout.write(`${reportOf({ builders, comparisons, command })}\n`)
  if (failures.length > 0) {
    throw new BenchError('command-failed', `left out, as a builder failed: ${failures.join(', ')}`)
  }
}

/** An hour of measurements is not lost because one builder fails at one workload: what happened then. */
async function compareOrTell(
  workload: Workload,
  builders: readonly Builder[],
  options: BenchOptions,
): Promise<Comparison | string> {
  try {
    return await compare(workload, builders, options)
  } catch (error) {
    if (error instanceof BenchError) {
      return error.message
    }
    throw error
  }
}

/** Where things lie on this machine says nothing to a reader. */
function withoutPlaces(args: readonly string[]): string[] {
  const isPlace = (arg: string | undefined): boolean =>
    /^--(docker-host|buildx|registry|bases|data|report)$/.test(arg ?? '')
  return args.filter((arg, index) => !isPlace(arg) && !isPlace(args[index - 1]))
}

function chosen({ only, isAll, registry }: BenchOptions): Workload[] {
  const unknown = only.find((id) => !WORKLOADS.some((workload) => workload.id === id))
  if (unknown !== undefined) {
    const known = WORKLOADS.map(({ id }) => id).join(', ')
    throw new BenchError('usage', `--only ${unknown}: the workloads are ${known}`)
  }
  return WORKLOADS.filter(
    ({ id, kind, output }) =>
      (only.length === 0 ? isAll || kind === 'budget' : only.includes(id)) &&
      (output === 'store' || registry !== undefined),
  )
}

async function putReport(path: string, report: string): Promise<void> {
  const text = withReport(await readIfThere(path), report)
  if (text === undefined) {
    throw new BenchError('usage', `could not write to ${path}: it lacks "${BEGIN}" or "${END}"`)
  }
  await writeFile(path, text)
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT') return undefined
    throw new BenchError('usage', `could not write to ${path}: ${String(error)}`)
  }
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof BenchError)) {
    throw error
  }
  process.stderr.write(`${error.message}\n`)
  process.exitCode = error.code === 'usage' ? 2 : 1
}
