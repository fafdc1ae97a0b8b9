import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Kernel, Store } from '../../snapshotter/index.ts'
import { DirectoryTree } from '../context/directory-tree.ts'
import { compileMatcher, parseIgnoreFile } from '../context/ignore.ts'
import { StatCache } from '../context/stat-cache.ts'
import { BuildError } from '../errors.ts'
import type { BuildRequest, ContextLocation } from '../request.ts'
import { SingleFlight } from '../solver/single-flight.ts'
import type { BuildContexts } from './build-contexts.ts'
import type { SourceTree } from './copy-source.ts'

export interface ContextParts {
  readonly store: Pick<Store, 'root' | 'lease'>
  readonly kernel: Pick<Kernel, 'listDirectories' | 'hashFiles'>
  readonly signal: AbortSignal
}

/** A Dockerfile is text that people write; what is larger is something else. */
const DOCKERFILE_BYTES_MAX = 16 * 1024 * 1024

export function openBuildContexts(request: BuildRequest, parts: ContextParts): BuildContexts {
  return new DirectoryContexts(request, parts)
}

class DirectoryContexts implements BuildContexts {
  readonly #request: BuildRequest
  readonly #parts: ContextParts
  readonly #trees = new SingleFlight<SourceTree>()
  readonly #opened: DirectoryTree[] = []

  constructor(request: BuildRequest, parts: ContextParts) {
    this.#request = request
    this.#parts = parts
  }

  async dockerfile(): Promise<{ readonly name: string; readonly text: string }> {
    const { dockerfile } = this.#request
    if (dockerfile.kind === 'text') {
      return { name: dockerfile.name, text: dockerfile.text }
    }
    const root = await this.#directory('context')
    const path = dockerfile.isDefault ? join(root, 'Dockerfile') : resolve(dockerfile.path)
    const found = (await this.#readDockerfile(path)) ?? (await this.#readLowerCase(path))
    if (found === undefined) {
      throw new BuildError(
        'dockerfile-missing',
        `could not read the Dockerfile: ${path}: no such file; name another with -f`,
      )
    }
    return found
  }

  async open(name: string): Promise<SourceTree> {
    return await this.#trees.run(name, async () => {
      const root = await this.#directory(name)
      const { kernel, store, signal } = this.#parts
      const file = join(store.root.contextsDir, createHash('sha256').update(root).digest('hex'))
      const tree = new DirectoryTree({
        kernel,
        root,
        description: name === 'context' ? 'the build context' : `context ${name}`,
        ignore: compileMatcher(await this.#ignorePatterns(name, root)),
        ownership: 'root',
        statCache: await StatCache.open({ file, workDirectory: store.lease.directory }),
        signal,
      })
      this.#opened.push(tree)
      return tree
    })
  }

  identity(name: string): string {
    const location = this.#location(name)
    return location === undefined ? name : JSON.stringify(location)
  }

  async save(): Promise<void> {
    await Promise.all(this.#opened.map((tree) => tree.saveDigests()))
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #location(name: string): ContextLocation | undefined {
    return name === 'context' ? this.#request.context : this.#request.namedContexts.get(name)
  }

  async #directory(name: string): Promise<string> {
    const location = this.#location(name)
    if (location?.kind !== 'directory') {
      throw new BuildError(
        'unsupported',
        `could not use context ${name}: a ${location?.kind ?? 'missing'} context is not supported here`,
      )
    }
    const path = resolve(location.path)
    const kind = await ifPresent(stat(path))
    if (kind?.isDirectory() !== true) {
      const reason = kind === undefined ? 'no such directory' : 'not a directory'
      throw new BuildError('context-missing', `could not use the build context ${location.path}: ${reason}`)
    }
    return path
  }

  /** Features rows D122, D123. */
  async #ignorePatterns(name: string, root: string): Promise<string[]> {
    const { dockerfile } = this.#request
    const own =
      name === 'context' && dockerfile.kind === 'path'
        ? await ifPresent(readFile(`${dockerfile.isDefault ? join(root, 'Dockerfile') : resolve(dockerfile.path)}.dockerignore`, 'utf8'))
        : undefined
    const text = own ?? (await ifPresent(readFile(join(root, '.dockerignore'), 'utf8')))
    return text === undefined ? [] : parseIgnoreFile(text)
  }

  async #readDockerfile(path: string): Promise<{ readonly name: string; readonly text: string } | undefined> {
    const kind = await ifPresent(stat(path))
    if (kind === undefined) {
      return undefined
    }
    if (!kind.isFile() || kind.size > DOCKERFILE_BYTES_MAX) {
      throw new BuildError('dockerfile-missing', `could not read the Dockerfile: ${path} is no text file`)
    }
    return { name: basename(path), text: await readFile(path, 'utf8') }
  }

  /** Features row D1. */
  async #readLowerCase(path: string): Promise<{ readonly name: string; readonly text: string } | undefined> {
    return basename(path) === 'Dockerfile' ? await this.#readDockerfile(join(dirname(path), 'dockerfile')) : undefined
  }
}

async function ifPresent<Value>(work: Promise<Value>): Promise<Value | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) {
      return undefined
    }
    throw error
  }
}
