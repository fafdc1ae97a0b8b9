import { parseReference } from '../../registry-client/oci/index.ts'
import { build } from '../build.ts'
import type { BuildOutcome } from '../build-services.ts'
import type { BuildEventSink } from '../events.ts'
import { createExporter, type RegistryNeeds } from '../export/create-exporter.ts'
import type { Exporter } from '../export/exporter.ts'
import type { BuildRequest } from '../request.ts'
import { startWorker } from '../worker/client.ts'
import type { ParsedArgs } from './args.ts'
import type { CommandContext } from './command.ts'
import { openServices, Registries } from './services.ts'

/** Builds with everything that a build needs of this machine: state root, worker, registries, exporters. */
export async function runBuild(
  request: BuildRequest,
  args: ParsedArgs,
  context: CommandContext,
  events: BuildEventSink,
): Promise<BuildOutcome> {
  await using services = await openServices(args, context)
  await using registries = new Registries(args, context, (text) =>
    events({ type: 'notice', atMs: 0, text }),
  )
  const { kernel, store, images } = services
  const registry = ({ isInsecure, names }: RegistryNeeds): ReturnType<typeof registries.client> =>
    registries.client(isInsecure ? names.map((name) => parseReference(name).registry) : [])
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
  return await build(request, {
    store,
    images,
    kernel,
    registry: () => registries.client(insecureCaches(request)),
    startWorker: (signal) => startWorker({ store }, signal),
    exporters,
    events,
    env: context.env,
    signal: context.signal,
  })
}

/** Registries that a cache says are without TLS or a known certificate. */
function insecureCaches({ cacheFrom, cacheTo }: BuildRequest): string[] {
  return [...cacheFrom, ...cacheTo].flatMap((cache) =>
    cache.type === 'registry' && cache.isInsecure ? [parseReference(cache.ref).registry] : [],
  )
}
