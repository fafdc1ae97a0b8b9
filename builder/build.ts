import { basename } from 'node:path'
import {
  type BuildGraph,
  convert,
  DockerfileErrors,
  parseDockerfile,
  renderLocation,
  type Warning,
} from '../frontend/index.ts'
import { formatPlatform } from '../registry-client/oci/index.ts'
import { exportCaches } from './build-caches.ts'
import type { BuildOutcome, BuildServices } from './build-services.ts'
import { BuildSession } from './build-session.ts'
import { solveAndExport } from './build-solve.ts'
import { readContextIgnore } from './context/context-ignore.ts'
import { convertOptions } from './convert-options.ts'
import { BuildError } from './errors.ts'
import { frontendResolver } from './ops/frontend-resolver.ts'
import type { BuildRequest } from './request.ts'

/**
 * Builds what the request says and hands it to the exporters. Nothing is left running when it returns or throws. Errors:
 * `StepError` for a step (its cause says why), `DockerfileErrors`, `ContextError`, `BuildError`, those of registry and
 * exporters; the signal's reason when aborted.
 */
export async function build(request: BuildRequest, services: BuildServices): Promise<BuildOutcome> {
  refuseUnsupported(request)
  await using session = new BuildSession(request, services)
  const { signal } = services
  const dockerfile = await readDockerfile(session)
  const graphs = await convertAll(dockerfile, session, signal).catch((error: unknown) => {
    if (error instanceof DockerfileErrors) tellWarnings(error.warnings, session, dockerfile)
    throw error
  })
  const warnings = graphs.flatMap((graph) => graph.warnings)
  tellWarnings(warnings, session, dockerfile)
  for (const platform of request.repeatedPlatforms)
    session.steps.warning(`Duplicate platform result requested "${formatPlatform(platform)}"`)
  const { solved, result, exports } = await solveAndExport(session, graphs, dockerfile)
  await exportCaches(session, solved, solved.signal)
  return { result, exports }
}

async function readDockerfile(
  session: BuildSession,
): Promise<{ readonly name: string; readonly text: string }> {
  const { dockerfile } = session.request
  const name = dockerfile.kind === 'text' ? dockerfile.name : basename(dockerfile.path)
  const title = `[internal] load build definition from ${name}`
  return await session.steps.during(title, session.services.signal, () =>
    session.contexts.dockerfile(),
  )
}

/** One graph for each platform; all base images are asked for side by side. */
async function convertAll(
  { name, text }: { readonly name: string; readonly text: string },
  session: BuildSession,
  signal: AbortSignal,
): Promise<BuildGraph[]> {
  const { buildArgs } = session.request
  const syntax = buildArgs.get('BUILDKIT_SYNTAX')
  const parsed = parseDockerfile(text, { name, syntax, buildArgs })
  const resolver = frontendResolver(session.resolver, session.request.namedContexts, (source) =>
    session.contexts.epochOf(source),
  )
  const ignore = await readContextIgnore(session.request)
  return await Promise.all(
    session.request.platforms.map((platform) =>
      convert(parsed, { ...convertOptions(session.request, platform), ignore }, resolver, signal),
    ),
  )
}

/** Lint findings (features row L23), each once however many platforms there are. */
function tellWarnings(
  warnings: readonly Warning[],
  session: BuildSession,
  dockerfile: { readonly name: string; readonly text: string },
): void {
  const told = new Set<string>()
  for (const { rule, detail, range, description, url } of warnings) {
    const text = `${rule}: ${detail} (line ${range.startLine})`
    if (!told.has(text)) {
      told.add(text)
      const place = { ...range, startColumn: 0 }
      const excerpt = renderLocation(dockerfile.name, dockerfile.text, place)
      session.steps.warning(text, { rule: { description, url, range, excerpt } })
    }
  }
}

function refuseUnsupported(request: BuildRequest): void {
  const names = request.platforms.map(formatPlatform)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new BuildError(
      'unsupported',
      `could not build for ${twice} twice: name each platform once`,
    )
  }
}
