import { join, resolve } from 'node:path'
import type { ContextIgnore } from '../../frontend/index.ts'
import type { BuildRequest } from '../request.ts'
import { hostReader } from './dockerfile.ts'
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
  const read = hostReader(context.path)
  const own = named === undefined ? undefined : await read(`${path}.dockerignore`)
  const text = own ?? (await read('.dockerignore'))
  if (text === undefined) {
    return undefined
  }
  const patterns = parseIgnoreFile(text)
  const matcher = compileMatcher(patterns)
  return { patterns, matches: (asked) => matcher.isMatch(asked) }
}
