import { startRealRegistry } from '../../../registry-client/testing/real-registry.ts'
import { BASE_TAGS, baseLayout, type BaseName } from './bases.ts'
import { mustRun } from './cli.ts'

/** A real registry on a free loopback port that holds the base images as `library/NAME:TAG`. */
export interface LabRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string
}

/** Starts a registry and pushes the base images that this machine has. */
export async function startLabRegistry(): Promise<LabRegistry> {
  const registry = await startRealRegistry()
  try {
    for (const [name, tag] of Object.entries(BASE_TAGS)) {
      const layout = baseLayout(name as BaseName)
      if (layout === undefined) continue
      const dest = `docker://${registry.host}/library/${name}:${tag}`
      const policy = ['--insecure-policy', 'copy', '--dest-tls-verify=false', '--quiet']
      await mustRun('skopeo', [...policy, `oci:${layout}:${tag}`, dest])
    }
  } catch (error) {
    await registry[Symbol.asyncDispose]()
    throw error
  }
  return registry
}

let shared: Promise<LabRegistry> | undefined

/** The registry that all tests of this run share: started at the first call, stopped by `hooks.ts`. */
export function labRegistry(): Promise<LabRegistry> {
  shared ??= startLabRegistry()
  return shared
}

/** Stops the shared registry when it was started. */
export async function stopLabRegistry(): Promise<void> {
  const registry = shared
  shared = undefined
  await (await registry)?.[Symbol.asyncDispose]()
}
