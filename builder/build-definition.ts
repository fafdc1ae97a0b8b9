import { basename } from 'node:path'
import {
  type ContextIgnore,
  type ImageResolver,
  renderLocation,
  type Warning,
} from '../frontend/index.ts'
import type { BuildSession } from './build-session.ts'
import { readContextIgnore } from './context/context-ignore.ts'
import { frontendResolver } from './ops/frontend-resolver.ts'
import type { Step } from './solver/steps.ts'
import { isMultiPlatform } from './steering-args.ts'

/** A Dockerfile as it was read, and the step that read it. */
export interface Definition {
  readonly name: string
  readonly text: string
  readonly step: Step
}

/** Reads the Dockerfile, as a step of the build. Errors: `ContextError`. */
export async function loadDefinition({
  request: { dockerfile },
  steps,
  contexts,
  services,
}: BuildSession): Promise<Definition> {
  const name = dockerfile.kind === 'text' ? dockerfile.name : basename(dockerfile.path)
  const title = `[internal] load build definition from ${name}`
  return await steps.during(title, services.signal, async (step) => ({
    ...(await contexts.dockerfile()),
    step,
  }))
}

/** What the ignore file leaves out; a step where there can be one. Errors: `ContextError`. */
export async function loadIgnore({
  request,
  steps,
  services,
}: BuildSession): Promise<ContextIgnore | undefined> {
  if (request.context.kind !== 'directory') return undefined
  return await steps.during('[internal] load .dockerignore', services.signal, () =>
    readContextIgnore(request),
  )
}

/** How the frontend learns about the images and contexts of a build. Errors: those of `isMultiPlatform`. */
export function definitionResolver({ request, resolver, contexts }: BuildSession): ImageResolver {
  return frontendResolver({
    images: resolver,
    namedContexts: request.namedContexts,
    epochOf: (source) => contexts.epochOf(source),
    isMultiPlatform: isMultiPlatform(request),
  })
}

/** Lint findings (features row L23), each once however many platforms there are. */
export function tellWarnings(
  warnings: readonly Warning[],
  { steps }: Pick<BuildSession, 'steps'>,
  { name, text, step }: Definition,
): void {
  const told = new Set<string>()
  for (const { rule, detail, range, description, url } of warnings) {
    const line = `${rule}: ${detail} (line ${range.startLine})`
    if (!told.has(line)) {
      told.add(line)
      const excerpt = renderLocation(name, text, { ...range, startColumn: 0 })
      steps.warning(line, {
        step,
        rule: { description, url, range, excerpt, source: { name, text } },
      })
    }
  }
}
