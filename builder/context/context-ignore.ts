import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { ContextIgnore } from '../../frontend/index.ts'
import type { BuildRequest } from '../request.ts'
import { compileMatcher, parseIgnoreFile } from './ignore.ts'

/**
 * What the ignore file of a context directory leaves out, for the rule CopyIgnoredFile; undefined when there is none. A file
 * beside the Dockerfile, of its name and `.dockerignore`, goes before the one in the context (features row D123).
 */
export async function readContextIgnore({
  context,
  dockerfile,
}: Pick<BuildRequest, 'context' | 'dockerfile'>): Promise<ContextIgnore | undefined> {
  if (context.kind !== 'directory') {
    return undefined
  }
  const named = dockerfile.kind === 'path' ? dockerfile : undefined
  const path =
    named === undefined || named.isDefault ? join(context.path, 'Dockerfile') : resolve(named.path)
  const own = named === undefined ? undefined : await readIfThere(`${path}.dockerignore`)
  const text = own ?? (await readIfThere(join(context.path, '.dockerignore')))
  if (text === undefined) {
    return undefined
  }
  const patterns = parseIgnoreFile(text)
  const matcher = compileMatcher(patterns)
  return { patterns, matches: (asked) => matcher.isMatch(asked) }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return undefined
    }
    throw error
  }
}
