import type { Digest } from '../../registry-client/oci/index.ts'
import type { Kernel } from '../../snapshotter/index.ts'
import type { SourceTree } from '../ops/copy-source.ts'
import type { ContextLocation } from '../request.ts'
import type { TextReader } from './dockerfile.ts'
import type { SecretReader } from './remote-authorization.ts'

/** Locations whose files lie on the host once they are opened; images are the image store's. */
export type FilesLocation = Exclude<ContextLocation, { kind: 'image' | 'oci-layout' }>

export interface ContextParts {
  readonly kernel: Pick<
    Kernel,
    'listDirectories' | 'listChildren' | 'hashFiles' | 'readLayer' | 'openInRoot' | 'treeState'
  >
  /** Directory that lasts: stat caches and downloads. */
  readonly contextsDirectory: string
  /** Told of every download that is used. */
  readonly onDownload?: (digest: Digest) => void
  /** Directory of this build for checkouts, on the same file system. */
  readonly workDirectory: string
  /** Gives paths in it for everything else that is unfinished or unpacked; `kind` is a part of the name. */
  readonly temporaryPath: (kind: string) => string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Secrets of the build, for servers that want to know who asks (features rows D114, D121). */
  readonly readSecret: SecretReader
  /** Socket of the agent that `--ssh default` names, for repositories (features rows C7, C34). */
  readonly sshAgent: () => Promise<string | undefined>
  /** Of who opens it, and reads texts and times. */
  readonly signal: AbortSignal
}

export interface OpenOptions {
  /** How messages call it: `the build context`, `context base`. */
  readonly description: string
  /** Text that takes the place of the directory's own `.dockerignore`. */
  readonly ignoreText: string | undefined
  /** The main context unpacks an archive behind a URL; a named one is the file itself (features rows C9, C12). */
  readonly isNamed: boolean
  /** A repository keeps its `.git` also where the URL does not ask for it (features row D50). */
  readonly keepsGitDirectory?: boolean
}

/** The files of a context. */
export interface ContextTree extends SourceTree {
  /** Keeps what was learned for the next build; to be called when the build has ended, however. */
  save?(): Promise<void>
}

/** A context that can be copied from. */
export interface OpenContext {
  /** Its files for one who stops with `signal`: the contexts of a build are opened before it has a graph. */
  tree(signal: AbortSignal): ContextTree
  /** Reads a file of the context by its path in it, links followed inside it only. */
  readonly readText: TextReader
  /** Set when the location was a Dockerfile itself (features row C9). */
  readonly dockerfileText: string | undefined
  /** When its contents were made, for SOURCE_DATE_EPOCH (features row D48); undefined for directories. */
  timeSec(): Promise<number | undefined>
}
