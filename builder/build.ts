import { type BuildGraph, convert, DockerfileErrors, parseDockerfile } from '../frontend/index.ts'
import { formatPlatform } from '../registry-client/oci/index.ts'
import { exportCaches } from './build-caches.ts'
import {
  type Definition,
  definitionResolver,
  loadDefinition,
  loadIgnore,
  tellWarnings,
} from './build-definition.ts'
import type { BuildOutcome, BuildServices } from './build-services.ts'
import { BuildSession } from './build-session.ts'
import { solveAndExport } from './build-solve.ts'
import { convertOptions } from './convert-options.ts'
import { BuildError } from './errors.ts'
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
  const dockerfile = await loadDefinition(session)
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

/** One graph for each platform; all base images are asked for side by side. */
async function convertAll(
  { name, text }: Definition,
  session: BuildSession,
  signal: AbortSignal,
): Promise<BuildGraph[]> {
  const { buildArgs } = session.request
  const syntax = buildArgs.get('BUILDKIT_SYNTAX')
  const parsed = parseDockerfile(text, { name, syntax, buildArgs })
  const resolver = definitionResolver(session)
  const ignore = await loadIgnore(session)
  return await Promise.all(
    session.request.platforms.map((platform) =>
      convert(parsed, { ...convertOptions(session.request, platform), ignore }, resolver, signal),
    ),
  )
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
