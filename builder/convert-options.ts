import type { ConvertOptions } from '../frontend/index.ts'
import { localPlatform, type Platform } from '../registry-client/oci/index.ts'
import type { BuildRequest } from './request.ts'
import { isMultiPlatform } from './steering-args.ts'

/** What the frontend is told of a request for one of its platforms. Errors: those of `isMultiPlatform`. */
export function convertOptions(request: BuildRequest, targetPlatform: Platform): ConvertOptions {
  return {
    target: request.target,
    buildArgs: request.buildArgs,
    buildPlatform: localPlatform(),
    targetPlatform,
    isPlatformExplicit: request.isPlatformExplicit,
    isMultiPlatform: isMultiPlatform(request),
    namedContexts: new Set(request.namedContexts.keys()),
    labels: request.labels,
    noCache: request.noCache,
    noCacheFilter: request.noCacheFilter,
    network: request.network,
    hostname: request.buildArgs.get('BUILDKIT_SANDBOX_HOSTNAME') || undefined,
  }
}

/** The same where one platform stands for all: nothing is built of what is described. */
export function describedOptions(request: BuildRequest): ConvertOptions {
  return convertOptions(request, request.platforms[0] ?? localPlatform())
}
