import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { errnoOf, reasonOf } from '../../../snapshotter/index.ts'
import { familiarReference } from '../../../registry-client/oci/index.ts'
import type { ContextLocation } from '../../request.ts'
import { CommandError, UsageError } from '../errors.ts'
import { readReference } from './reference.ts'

/**
 * The context argument of `build` other than `-` (features rows C1, C7, C9, C13): an existing directory, a git URL, an
 * http(s) URL. Throws `UsageError`, or `CommandError` `context-missing`.
 */
export async function readContextArgument(text: string, cwd: string): Promise<ContextLocation> {
  const path = resolve(cwd, text)
  const info = await statIfThere(path)
  if (info?.isDirectory() === true) {
    return { kind: 'directory', path }
  }
  const remote = readRemote(text)
  if (remote !== undefined) {
    return remote
  }
  if (info !== undefined) {
    throw new CommandError(
      'context-missing',
      `could not prepare the context: "${text}" is not a directory`,
      {
        hint: 'give the directory, and name the Dockerfile with -f',
      },
    )
  }
  throw new CommandError(
    'context-missing',
    `could not prepare the context: path "${text}" not found`,
  )
}

/** `--build-context name=value` (features row C12). Errors as for `readContextArgument`. */
export async function readNamedContexts(
  values: readonly string[],
  cwd: string,
): Promise<Map<string, ContextLocation>> {
  const contexts = new Map<string, ContextLocation>()
  for (const text of values) {
    const equals = text.indexOf('=')
    const name = text.slice(0, Math.max(0, equals))
    const value = text.slice(equals + 1)
    if (name === '' || value === '') {
      throw new UsageError(
        `invalid argument "${text}" for "--build-context" flag: it must be name=value`,
      )
    }
    // Names are those of images, so that `--build-context alpine=...` replaces `FROM alpine:latest` too.
    const normalised = familiarReference(readReference(name, 'context name')).replace(
      /:latest$/,
      '',
    )
    contexts.set(normalised, await readNamedContext(name, value, cwd))
  }
  return contexts
}

async function readNamedContext(
  name: string,
  value: string,
  cwd: string,
): Promise<ContextLocation> {
  const image = withoutPrefix(value, 'docker-image://')
  if (image !== undefined) {
    if (image !== 'scratch') {
      readReference(image, `context ${name}`)
    }
    return { kind: 'image', reference: image }
  }
  const layout = withoutPrefix(value, 'oci-layout://')
  if (layout !== undefined) {
    const { path, reference } = splitLayout(layout)
    return { kind: 'oci-layout', path: resolve(cwd, path), reference }
  }
  if (value.startsWith('target:')) {
    throw new UsageError(
      `invalid context ${name}: target: contexts belong to bake files, which are not supported`,
    )
  }
  const remote = readRemote(value)
  if (remote !== undefined) {
    return remote
  }
  const path = resolve(cwd, value)
  const info = await statIfThere(path)
  if (info === undefined) {
    throw new CommandError(
      'context-missing',
      `could not prepare the context ${name}: path "${value}" not found`,
    )
  }
  if (!info.isDirectory()) {
    throw new CommandError(
      'context-missing',
      `could not prepare the context ${name}: "${value}" is not a directory`,
    )
  }
  return { kind: 'directory', path }
}

/** `path[:tag][@digest]`; a colon belongs to the tag only after the last slash. */
function splitLayout(text: string): { path: string; reference: string | undefined } {
  const match = /^(.*?)(?::([\w.-]+))?(?:@(sha256:[a-f0-9]{64}))?$/s.exec(text)
  return { path: match?.[1] ?? text, reference: match?.[3] ?? match?.[2] }
}

/** A git or http(s) URL; undefined for anything else. */
export function readRemote(text: string): ContextLocation | undefined {
  if (isGitUrl(text)) {
    return { kind: 'git', url: text }
  }
  return /^https?:\/\//.test(text) ? { kind: 'http', url: text } : undefined
}

/** What docker takes for git: `git://`, `ssh://`, `user@host:path`, `github.com/...`, and http(s) URLs whose path ends in `.git`. */
function isGitUrl(text: string): boolean {
  return (
    /^(?:git|ssh):\/\//.test(text) ||
    /^github\.com\//.test(text) ||
    /^[\w.-]+@[\w.-]+:(?!\/\/)/.test(text) ||
    /^https?:\/\/[^#?]+\.git(?:[#?].*)?$/s.test(text)
  )
}

function withoutPrefix(text: string, prefix: string): string | undefined {
  return text.startsWith(prefix) ? text.slice(prefix.length) : undefined
}

const NO_SUCH_PATH: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'])

async function statIfThere(path: string): Promise<{ isDirectory(): boolean } | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (NO_SUCH_PATH.has(errnoOf(error))) return undefined
    throw new CommandError(
      'context-missing',
      `could not prepare the context ${path}: ${reasonOf(error)}`,
      { cause: error },
    )
  }
}
