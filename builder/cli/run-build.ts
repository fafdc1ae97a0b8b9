import { parseReference } from '../../registry-client/oci/index.ts'
import { build } from '../build.ts'
import type { BuildOutcome } from '../build-services.ts'
import type { BuildEventSink } from '../events.ts'
import { createExporter, type RegistryNeeds } from '../export/create-exporter.ts'
import type { Exporter } from '../export/exporter.ts'
import type { BuildRequest } from '../request.ts'
import { DisposableScope, emptyTrash } from '../../snapshotter/index.ts'
import { FailedSteps } from '../ops/failed-steps.ts'
import { FailedStepKeeper } from '../ops/keep-failed.ts'
import { needsCgroup } from '../sandbox/cgroup.ts'
import { startWorker } from '../worker/start-worker.ts'
import type { ParsedArgs } from './args.ts'
import { takeFailure } from './collection/failure.ts'
import { collectLater } from './collection/later.ts'
import { readCollectionSettings } from './collection/limits.ts'
import type { CommandContext } from './command.ts'
import { type FailedStepNews, newsOf, type OnFailure } from './failed-step-advice.ts'
import { type CommandServices, openServices, Registries } from './services.ts'

/** Who is told what of a build. */
export interface BuildReactions {
  readonly events: BuildEventSink
  readonly onFailure: OnFailure
  /** Called before the build rejects, when it was for a step whose files may have been kept. */
  readonly tellFailedStep: (news: FailedStepNews) => void
}

/**
 * Builds with everything that a build needs of this machine: state root, worker, registries, exporters. However it ends, what
 * the cache has too much is collected behind it.
 */
export async function runBuild(
  request: BuildRequest,
  args: ParsedArgs,
  context: CommandContext,
  { events, onFailure, tellFailedStep }: BuildReactions,
): Promise<BuildOutcome> {
  const { env, signal } = context
  const settings = readCollectionSettings(env)
  await using afterwards = new DisposableScope()
  await using services = await openServices(args, context)
  const root = services.store.root.path
  afterwards.defer(() => (signal.aborted ? undefined : collectLater({ root, settings, env })))
  const notice = (text: string): void => events({ type: 'notice', atMs: 0, text })
  const failure = await takeFailure(root)
  if (failure !== undefined) {
    const text = `the cache could not be collected after an earlier build: ${failure}`
    events({ type: 'warning', atMs: 0, text, step: undefined })
  }
  await using registries = new Registries(args, context, notice)
  const { kernel, store, images } = services
  const registry = ({ isInsecure, names }: RegistryNeeds): ReturnType<typeof registries.client> =>
    registries.client(isInsecure ? names.map((name) => parseReference(name).registry) : [])
  const hasLimits = needsCgroup(request.limits, request.cgroupParent)
  const exporters: Exporter[] = []
  for (const output of request.outputs) {
    exporters.push(
      await createExporter(output, {
        ...context,
        kernel,
        store,
        images,
        registry,
        nowMs: Date.now,
      }),
    )
  }
  const failedSteps = new FailedSteps(store)
  const needsRoom = onFailure === 'keep-if-room'
  const keeper =
    onFailure === 'discard' ? undefined : new FailedStepKeeper(failedSteps, { needsRoom })
  try {
    return await build(request, {
      store,
      images,
      kernel,
      registry: () => registries.client(insecureCaches(request)),
      startWorker: (signal, use) =>
        startWorker({ store, onNotice: notice, hasLimits, ...use }, signal),
      exporters,
      events,
      ...(keeper === undefined ? {} : { failedSteps: keeper }),
      env,
      signal,
    })
  } catch (error) {
    const news = newsOf(error, keeper)
    if (news !== undefined) tellFailedStep(news)
    throw error
  } finally {
    await removeExpired(failedSteps, services, signal)
  }
}

/** Failed steps get old whatever builds come after them. Files of sub-ids stay in the trash until a worker is there. */
async function removeExpired(
  failedSteps: FailedSteps,
  { kernel }: CommandServices,
  signal: AbortSignal,
): Promise<void> {
  const graves = await failedSteps.expire()
  if (!signal.aborted) await emptyTrash(graves, kernel, signal)
}

/** Registries that a cache says are without TLS or a known certificate. */
function insecureCaches({ cacheFrom, cacheTo }: BuildRequest): string[] {
  return [...cacheFrom, ...cacheTo].flatMap((cache) =>
    cache.type === 'registry' && cache.isInsecure ? [parseReference(cache.ref).registry] : [],
  )
}
