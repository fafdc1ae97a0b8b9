import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Builder } from './builders.ts'
import { measure } from './command.ts'
import { makeContext } from './contexts.ts'
import type { BenchOptions } from './options.ts'
import type { Workload } from './workloads.ts'

/** One builder at one workload. */
export interface Series {
  readonly seconds: readonly number[]
  readonly peakBytes: number | undefined
}

export interface Comparison {
  readonly workload: Workload
  readonly series: ReadonlyMap<Builder['id'], Series>
}

/**
 * Runs a workload on every builder in turn (A B A B ...), so that whatever slows the machine down slows all of them. A
 * run before, which is not counted, fills caches; the last one watches the memory and is not timed.
 */
export async function compare(
  workload: Workload,
  builders: readonly Builder[],
  options: BenchOptions,
): Promise<Comparison> {
  const context = join(options.data, 'contexts', workload.context)
  if (!existsSync(context)) {
    await makeContext(context, options.bases, workload.write)
  }
  const seconds = new Map(builders.map(({ id }) => [id, [] as number[]]))
  const peaks = new Map<Builder['id'], number>()
  if (workload.before !== 'prune') {
    for (const builder of builders) {
      await once(builder, workload, context, false)
    }
  }
  const runs = options.runs ?? workload.runs
  for (let run = 0; run < runs; run++) {
    await change(workload, context, run)
    for (const builder of builders) {
      const measured = await once(builder, workload, context, false)
      seconds.get(builder.id)?.push(measured.seconds)
    }
  }
  for (const builder of options.withMemory ? builders : []) {
    await change(workload, context, runs)
    const { peakBytes } = await once(builder, workload, context, true)
    peaks.set(builder.id, peakBytes ?? 0)
  }
  const series = new Map(
    builders.map(({ id }) => [id, { seconds: seconds.get(id) ?? [], peakBytes: peaks.get(id) }]),
  )
  return { workload, series }
}

async function once(
  builder: Builder,
  workload: Workload,
  context: string,
  isWatched: boolean,
): Promise<{ readonly seconds: number; readonly peakBytes: number | undefined }> {
  if (workload.before === 'prune') {
    await measure(builder.prune)
  }
  const task = taskOf(builder, workload, context)
  return await measure(task, isWatched ? { daemons: builder.daemons } : undefined)
}

function taskOf(
  builder: Builder,
  { context: name, output, noCache }: Workload,
  context: string,
): ReturnType<Builder['build']> {
  return builder.build({ context, name: `bench-${builder.id}/${name}`, output, noCache })
}

async function change(workload: Workload, context: string, run: number): Promise<void> {
  if (workload.before === 'edit') {
    // Never what an earlier comparison wrote: builders remember.
    await writeFile(join(context, 'app.js'), `x${run}-${Date.now()}`)
  }
}
