import { mkdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { digestHex, digestOf } from '../../registry-client/oci/index.ts'
import type { ContextParts, OpenContext, OpenOptions } from './context-parts.ts'
import { ContextState } from './context-state.ts'
import { DirectoryTree } from './directory-tree.ts'
import { hostReader } from './dockerfile.ts'
import { ContextError } from './errors.ts'
import { compileMatcher, parseIgnoreFile } from './ignore.ts'
import { markUsed } from './last-use.ts'
import { StatCache } from './stat-cache.ts'

/** A directory, read in place and filtered by its `.dockerignore` (features rows C1, D122, D123). */
export async function openDirectory(
  path: string,
  options: OpenOptions,
  parts: ContextParts,
): Promise<OpenContext> {
  const root = await canonicalDirectory(path)
  const readText = hostReader(root)
  const ignoreText = options.ignoreText ?? (await readText('.dockerignore')) ?? ''
  await mkdir(parts.contextsDirectory, { recursive: true, mode: 0o700 })
  const memory = join(parts.contextsDirectory, digestHex(digestOf(root)))
  const [statFile, closedFile] = [`${memory}.stat`, `${memory}.closed`]
  for (const file of [statFile, closedFile]) markUsed(file)
  const { kernel, temporaryPath } = parts
  const patterns = parseIgnoreFile(ignoreText)
  const ignore = compileMatcher(patterns)
  const tree = (signal: AbortSignal): DirectoryTree =>
    new DirectoryTree({
      ...{ kernel, root, description: options.description, ignore, signal },
      ignoreDescription: 'excluded by .dockerignore',
      ownership: 'root',
      statCache: () => StatCache.open({ file: statFile, temporaryPath }),
      state: new ContextState({ kernel, root, patterns, file: closedFile, temporaryPath, signal }),
    })
  return {
    tree,
    readText,
    dockerfileText: undefined,
    timeSec: () => Promise.resolve(undefined),
  }
}

/** The real path of a context directory; `context-missing` when it is none. */
export async function canonicalDirectory(path: string): Promise<string> {
  try {
    const root = await realpath(path)
    if ((await stat(root)).isDirectory()) {
      return root
    }
  } catch (error) {
    throw new ContextError(
      'context-missing',
      `unable to prepare context: path "${path}" not found`,
      { cause: error, path },
    )
  }
  throw new ContextError(
    'context-missing',
    `unable to prepare context: path "${path}" is not a directory`,
    { path },
  )
}
