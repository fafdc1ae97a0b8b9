import { parseGitUrl } from '../../frontend/index.ts'
import { EMPTY_VIEW } from '../ops/copy-place.ts'
import type { SourceTree } from '../ops/copy-source.ts'
import { redactUrl } from '../ops/http.ts'
import { openArchive, rootReader } from './archive-context.ts'
import type { ContextParts, FilesLocation, OpenContext, OpenOptions } from './context-parts.ts'
import { openDirectory } from './directory-context.ts'
import type { TextReader } from './dockerfile.ts'
import { ContextError } from './errors.ts'
import { GitRepository } from './git-tree.ts'
import { rememberedReader } from './remembered-texts.ts'
import { openUrl } from './url-context.ts'

/**
 * Opens a build context, wherever it lies (features rows C1-C9, C12): directories are read in place and filtered by
 * their `.dockerignore` (D122, D123), archives unpacked, repositories checked out, URLs downloaded. Errors: `ContextError`,
 * and `CopyError` of downloads and git.
 */
export async function openContext(
  location: FilesLocation,
  options: OpenOptions,
  parts: ContextParts,
): Promise<OpenContext> {
  switch (location.kind) {
    case 'none':
      return emptyContext(options.description)
    case 'directory':
      return await openDirectory(location.path, options, parts)
    case 'archive':
      return await openArchive(location.path, options, parts)
    case 'git':
      return await openGit(location.url, options, parts)
    case 'http':
      return await openUrl(location.url, options, parts)
  }
}

function emptyContext(description: string): OpenContext {
  const tree: SourceTree = {
    ...EMPTY_VIEW,
    description,
    walk: nothing,
    fileDigests: () => Promise.resolve([]),
    source: ({ path }) => ({ kind: 'path', root: '/', path }),
  }
  return {
    tree: () => tree,
    readText: () => Promise.resolve(undefined),
    dockerfileText: undefined,
    timeSec: () => Promise.resolve(undefined),
  }
}

async function openGit(
  url: string,
  options: OpenOptions,
  parts: ContextParts,
): Promise<OpenContext> {
  const source = parseGitUrl(url)
  if (source === undefined || 'fault' in source) {
    const reason = source === undefined ? 'it is no URL of a repository' : source.fault
    throw new ContextError(
      'context-invalid',
      `could not use ${redactUrl(url)} as a context: ${reason}`,
    )
  }
  // `github.com/owner/name` has no scheme: for git itself it would be a local path.
  const remote = source.looksLocal ? `https://${source.remote}` : source.remote
  const { ref, subdir, checksum, submodules = true } = source
  const keepGitDir = source.keepGitDir === true || options.keepsGitDirectory === true
  const { mtime = 'checkout', fetchByCommit } = source
  const repository = await GitRepository.open(
    { remote, ref, subdir, checksum, keepGitDir, submodules, mtime, fetchByCommit },
    options.description,
    parts,
  )
  const readText: TextReader = async (path) =>
    await rootReader((await repository.checkout(parts.signal)).root, parts)(path)
  return {
    tree: (signal) => repository.tree(signal),
    // Whether a checksum is that of the commit may show in the checkout only.
    readText:
      checksum === undefined ? rememberedReader(repository.identity, readText, parts) : readText,
    dockerfileText: undefined,
    timeSec: async () => (await repository.checkout(parts.signal)).timeSec,
  }
}

async function* nothing(): AsyncGenerator<never> {}
