import { parseGoBool } from '../frontend/index.ts'
import { BuildError } from './errors.ts'
import type { BuildRequest } from './request.ts'

/**
 * True when the result is an index and steps name their platform: several platforms, be they equal, or `BUILDKIT_MULTI_PLATFORM=1`
 * (features row D51). Throws `BuildError` when that argument is no boolean, or false for several platforms.
 */
export function isMultiPlatform({
  platforms,
  repeatedPlatforms,
  buildArgs,
}: Pick<BuildRequest, 'platforms' | 'repeatedPlatforms' | 'buildArgs'>): boolean {
  const text = buildArgs.get('BUILDKIT_MULTI_PLATFORM') ?? ''
  const count = platforms.length + repeatedPlatforms.length
  const hasSeveral = count > 1
  if (text === '') {
    return hasSeveral
  }
  const wanted = parseGoBool(text)
  if (wanted === undefined) {
    const message = `could not read BUILDKIT_MULTI_PLATFORM: invalid boolean value for multi-platform: ${text}`
    throw new BuildError('unsupported', message)
  }
  if (!wanted && hasSeveral) {
    const message = `could not build for ${count} platforms with BUILDKIT_MULTI_PLATFORM=${text}: conflicting config: returning multiple target platforms is not allowed`
    throw new BuildError('unsupported', message)
  }
  return wanted
}

/** `BUILDKIT_CONTEXT_KEEP_GIT_DIR=1`: a context that is a repository keeps its `.git` (features row D50); else what its URL says. */
export function keepsGitDirectory(buildArgs: BuildRequest['buildArgs']): boolean {
  return parseGoBool(buildArgs.get('BUILDKIT_CONTEXT_KEEP_GIT_DIR') ?? '') === true
}
