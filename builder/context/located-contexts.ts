import { basename, join, resolve } from 'node:path'
import type { EpochSource, GitNode, HttpNode } from '../../frontend/index.ts'
import type { Digest } from '../../registry-client/oci/index.ts'
import { BuildError } from '../errors.ts'
import type { SourceTree } from '../ops/copy-source.ts'
import { removeIfDamaged } from '../ops/http.ts'
import type { BuildRequest, ContextLocation } from '../request.ts'
import { SignalFlight } from '../solver/signal-flight.ts'
import { SingleFlight } from '../solver/single-flight.ts'
import { keepsGitDirectory } from '../steering-args.ts'
import type { ContextParts, ContextTree, FilesLocation, OpenContext } from './context-parts.ts'
import { canonicalDirectory } from './directory-context.ts'
import { type DockerfileText, hostReader, readDockerfile } from './dockerfile.ts'
import { GitRepository } from './git-tree.ts'
import { contextTitle } from './context-title.ts'
import { openContext } from './open-context.ts'
import { downloadsDirectory, httpTime, openHttpTree } from './url-context.ts'

/**
 * The inputs of one build that are files, each opened once when it is first needed: the Dockerfile, the main context,
 * named contexts, and what ADD downloads.
 */
export class LocatedContexts {
  readonly #request: Pick<BuildRequest, 'context' | 'namedContexts' | 'dockerfile' | 'buildArgs'>
  readonly #parts: ContextParts
  #contexts = new SingleFlight<OpenContext>()
  #trees = new SignalFlight<ContextTree>()
  #files = new SingleFlight<SourceTree>()
  readonly #downloads = new Set<Digest>()
  readonly #repositories = new SingleFlight<GitRepository>()
  readonly #opened: ContextTree[] = []
  #dockerfile: Promise<DockerfileText> | undefined

  constructor(
    request: Pick<BuildRequest, 'context' | 'namedContexts' | 'dockerfile' | 'buildArgs'>,
    parts: ContextParts,
  ) {
    this.#request = request
    this.#parts = { ...parts, onDownload: (digest) => void this.#downloads.add(digest) }
  }

  /** Text of the Dockerfile and how messages call it. Errors: `dockerfile-missing`, `context-missing`. */
  async dockerfile(): Promise<{ readonly name: string; readonly text: string }> {
    const { name, text } = await this.#readDockerfile()
    return { name: basename(name), text }
  }

  /** The files of a context for one who stops with `signal`, `context` being the main one. */
  async open(name: string, signal: AbortSignal): Promise<SourceTree> {
    return await this.#trees.run(name, signal, async (inner) => {
      const tree = (await this.#open(name, inner)).tree(inner)
      this.#opened.push(tree)
      return tree
    })
  }

  /** The file that ADD names by a URL (features rows D114, D115). */
  async openHttp(
    { url, checksum, filename }: Pick<HttpNode, 'url' | 'checksum' | 'filename'>,
    signal: AbortSignal,
  ): Promise<SourceTree> {
    const request = { url, checksum, filename }
    return await this.#files.run(JSON.stringify(request), () =>
      openHttpTree(request, { ...this.#parts, signal }),
    )
  }

  /** The checkout that ADD names by a URL (features rows D118-D120). */
  async openGit(
    node: Omit<GitNode, 'id' | 'origin' | 'kind'>,
    signal: AbortSignal,
  ): Promise<SourceTree> {
    return (await this.#openRepository(node, signal)).tree(signal)
  }

  /** The time that a source has of its own, for SOURCE_DATE_EPOCH (features row D48). */
  async epochOf(source: EpochSource): Promise<number | undefined> {
    switch (source.kind) {
      case 'context':
        return await this.#timeOf(source.name)
      case 'http':
        return await httpTime(source, this.#parts)
      case 'git': {
        const { signal } = this.#parts
        return (await (await this.#openRepository(source, signal)).checkout(signal)).timeSec
      }
      default:
        return source satisfies never
    }
  }

  /**
   * For when reading failed: removes downloads of earlier builds that are damaged; what is opened from now on is fetched again.
   * True when there was one.
   */
  async removeDamaged(): Promise<boolean> {
    let isDamaged = false
    for (const digest of this.#downloads) {
      const directory = downloadsDirectory(this.#parts)
      isDamaged = (await removeIfDamaged(directory, digest, this.#parts.signal)) || isDamaged
    }
    if (isDamaged) {
      this.#contexts = new SingleFlight()
      this.#trees = new SignalFlight()
      this.#files = new SingleFlight()
    }
    return isDamaged
  }

  /** Of the step that opens it, where it is no directory. */
  title(name: string): string | undefined {
    return contextTitle(name, this.#location(name))
  }

  /** Tells locations apart, for locks and `explain`; never part of a cache key. */
  identity(name: string): string {
    return JSON.stringify(this.#location(name) ?? name)
  }

  /** Keeps what was learned about files for the next build. */
  async save(): Promise<void> {
    await Promise.all(this.#opened.map(async (tree) => tree.save?.()))
  }

  async #openRepository(
    node: Omit<GitNode, 'id' | 'origin' | 'kind'>,
    signal: AbortSignal,
  ): Promise<GitRepository> {
    const { remote, ref, subdir, checksum, keepGitDir, submodules, mtime, fetchByCommit } = node
    const request = {
      ...{ remote, ref, subdir, checksum, keepGitDir, submodules },
      ...{ mtime, fetchByCommit },
    }
    return await this.#repositories.run(JSON.stringify(request), () =>
      GitRepository.open(request, 'the repository', { ...this.#parts, signal }),
    )
  }

  #location(name: string): ContextLocation | undefined {
    return name === 'context' ? this.#request.context : this.#request.namedContexts.get(name)
  }

  #filesLocation(name: string): FilesLocation {
    const location = this.#location(name)
    if (location === undefined || location.kind === 'image' || location.kind === 'oci-layout') {
      throw new BuildError(
        'context-missing',
        `could not use context ${name}: it is no directory, archive or URL`,
      )
    }
    return location
  }

  async #timeOf(name: string): Promise<number | undefined> {
    const location = this.#location(name)
    return location?.kind === 'image' || location?.kind === 'oci-layout'
      ? undefined
      : await (await this.#open(name, this.#parts.signal)).timeSec()
  }

  async #open(name: string, signal: AbortSignal): Promise<OpenContext> {
    const isMain = name === 'context'
    const location = this.#filesLocation(name)
    // Only a directory has an ignore file beside its Dockerfile, and there the Dockerfile does not need the context.
    const ignoreText =
      isMain && location.kind === 'directory'
        ? (await this.#readDockerfile()).ignoreText
        : undefined
    return await this.#contexts.run(name, async () => {
      const description = isMain ? 'the build context' : `context ${name}`
      const keepsGit = isMain && keepsGitDirectory(this.#request.buildArgs)
      return await openContext(
        location,
        { description, ignoreText, isNamed: !isMain, keepsGitDirectory: keepsGit },
        { ...this.#parts, signal },
      )
    })
  }

  #readDockerfile(): Promise<DockerfileText> {
    this.#dockerfile ??= this.#findDockerfile()
    return this.#dockerfile
  }

  async #findDockerfile(): Promise<DockerfileText> {
    const { dockerfile } = this.#request
    if (dockerfile.kind === 'text') {
      return { text: dockerfile.text, name: dockerfile.name, ignoreText: undefined }
    }
    const location = this.#filesLocation('context')
    if (location.kind === 'directory') {
      const path = dockerfile.isDefault ? join(location.path, 'Dockerfile') : dockerfile.path
      await canonicalDirectory(location.path)
      return await readDockerfile(resolve(path), hostReader('/'))
    }
    if (location.kind === 'none') {
      return await readDockerfile(resolve(dockerfile.path), hostReader('/'))
    }
    const context = await this.#open('context', this.#parts.signal)
    if (context.dockerfileText !== undefined) {
      return { text: context.dockerfileText, name: 'Dockerfile', ignoreText: undefined }
    }
    const { text, name } = await readDockerfile(
      dockerfile.isDefault ? 'Dockerfile' : dockerfile.path,
      context.readText,
    )
    return { text, name, ignoreText: undefined }
  }
}
