import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rm } from 'node:fs/promises'

/** A new directory for a test, removed with everything in it when disposed. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'tsbuild-test-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

let pathCount = 0

/** Gives new paths in a directory, as a lease does. */
export function temporaryPaths(directory: string): (kind: string) => string {
  return (kind) => {
    pathCount += 1
    return join(directory, `${kind}${pathCount}`)
  }
}
