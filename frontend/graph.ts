import type { Range } from './diagnostics.ts'
import type { StageImageConfig } from './image-config.ts'
import type { Warning } from './rules/rule.ts'

/**
 * The build graph: plain data that says what to do and in what order, made from a Dockerfile by
 * `convert.ts` and executed by the builder. No node touches the disk or the network by itself.
 *
 *   image ─┐
 *   scratch┼─> run / copy / mkdir ─> run ... ─> stage result
 *   stage ─┘        ^
 *   context/http/git┘ (sources of copy, and of run mounts)
 */
export type NodeId = number

/** Where a node comes from and how progress names it. */
export interface NodeOrigin {
  /** e.g. `[build 2/4] RUN make` (features row D149). */
  readonly title: string
  /** Name or index of the stage (as text), undefined for shared sources. */
  readonly stage: string | undefined
  /** Instruction in the Dockerfile; undefined for internal nodes. */
  readonly range: Range | undefined
  /** True when `--no-cache-filter` or `--no-cache` hits the stage. */
  readonly ignoreCache: boolean
}

interface NodeBase {
  readonly id: NodeId
  readonly origin: NodeOrigin
}

/** `os/arch[/variant]` split; structurally equal to the registry client's `Platform`. */
export interface GraphPlatform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  readonly osVersion?: string
}

/** The filesystem of an image. `source` is what the resolver returned, so the builder fetches exactly what was planned. */
export interface ImageNode extends NodeBase {
  readonly kind: 'image'
  /** As written, normalised by the resolver. */
  readonly reference: string
  readonly platform: GraphPlatform
  /** Opaque to the frontend: the resolver's handle of the chosen manifest. */
  readonly resolved: string
}

export interface ScratchNode extends NodeBase {
  readonly kind: 'scratch'
}

/** The main context (`name` = `context`) or a named one. */
export interface ContextNode extends NodeBase {
  readonly kind: 'context'
  readonly name: string
}

/** One file from a URL (ADD, features rows D114, D115). */
export interface HttpNode extends NodeBase {
  readonly kind: 'http'
  readonly url: string
  readonly checksum: string | undefined
  /** Name inside the node's tree: last part of the URL path, else `__unnamed__`. */
  readonly filename: string
}

/** A git checkout (ADD, features rows D118-D120). */
export interface GitNode extends NodeBase {
  readonly kind: 'git'
  readonly remote: string
  readonly ref: string | undefined
  readonly subdir: string | undefined
  readonly checksum: string | undefined
  readonly keepGitDir: boolean
  readonly submodules: boolean
  /** `commit`: files get the time of the commit instead of that of the checkout (features row D119). */
  readonly mtime: 'checkout' | 'commit'
  /** A checksum that is a whole commit is fetched itself, whatever the ref leads to (features row D119). */
  readonly fetchByCommit: boolean
}

export interface RunNode extends NodeBase {
  readonly kind: 'run'
  readonly parent: NodeId
  /** argv after SHELL was applied. */
  readonly args: readonly string[]
  /** SHELL in force here: what a shell in this step is. */
  readonly shell: readonly string[]
  /** `NAME=value`, in order, later wins; ENV + ARG in scope; without proxies. */
  readonly env: readonly string[]
  readonly cwd: string
  /** As in USER; empty = root. */
  readonly user: string
  readonly network: 'default' | 'none' | 'host'
  readonly security: 'sandbox' | 'insecure'
  readonly mounts: readonly RunMount[]
  /** Heredoc scripts put at `/dev/pipes/<name>` (features row D26). */
  readonly scripts: readonly { readonly name: string; readonly content: string }[]
  /** CDI device requests (features row D78). */
  readonly devices: readonly { readonly name: string; readonly required: boolean }[]
  readonly platform: GraphPlatform
  /** `HTTP_PROXY` and friends from build args: given to the process, never part of the cache key (D46). */
  readonly proxyEnv: readonly string[]
  readonly hostname: string | undefined
  /** The command as the user wrote it, for messages: `/bin/sh -c make`. */
  readonly display: string
}

export type RunMount =
  | {
      readonly type: 'bind'
      readonly target: string
      readonly from: NodeId
      readonly source: string
      readonly isReadonly: boolean
    }
  | {
      readonly type: 'cache'
      readonly target: string
      /** Already defaulted to the cleaned target and prefixed with BUILDKIT_CACHE_MOUNT_NS (D53, D69). */
      readonly cacheId: string
      readonly sharing: 'shared' | 'private' | 'locked'
      readonly from: NodeId | undefined
      readonly source: string
      readonly mode: number
      readonly uid: number
      readonly gid: number
      readonly isReadonly: boolean
    }
  | {
      readonly type: 'tmpfs'
      readonly target: string
      readonly sizeBytes: number | undefined
      readonly isReadonly: boolean
    }
  | {
      readonly type: 'secret'
      readonly secretId: string
      /** Undefined when the secret is only an environment variable. */
      readonly target: string | undefined
      readonly env: string | undefined
      readonly isRequired: boolean
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }
  | {
      readonly type: 'ssh'
      readonly sshId: string
      readonly target: string
      readonly isRequired: boolean
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }

/** COPY and ADD: one layer out of one instruction. */
export interface CopyNode extends NodeBase {
  readonly kind: 'copy'
  /** Filesystem that the result is stacked on; also where dest symlinks and user names are looked up unless `link`. */
  readonly parent: NodeId
  readonly sources: readonly CopySource[]
  /** Absolute, cleaned, joined with WORKDIR. */
  readonly dest: string
  /** Dest ended in `/` or `/.`, or was `.`: it is a directory whatever exists. */
  readonly destIsDirectory: boolean
  /** As written after expansion: `user[:group]`. */
  readonly chown: string | undefined
  /** Octal (`0755`) or symbolic, as written after expansion; validated by the frontend. */
  readonly chmod: string | undefined
  readonly link: boolean
  readonly parents: boolean
  readonly exclude: readonly string[]
  /** From SOURCE_DATE_EPOCH, for created parents and inline files; seconds. */
  readonly epochSec: number | undefined
}

export type CopySource =
  | {
      readonly type: 'path'
      readonly from: NodeId
      /** Pattern as written after expansion (Go filepath.Match syntax; `**` only with --parents). */
      readonly pattern: string
      /** What happens to an archive: ADD of local files unpacks `auto`matically (D116, D117). */
      readonly unpack: 'auto' | 'always' | 'never'
      /** True for http/git sources of ADD: no wildcard, the node's whole tree or its one file. */
      readonly isRemote: boolean
    }
  | { readonly type: 'inline'; readonly name: string; readonly content: string }

/** WORKDIR: make a directory and its parents, 0755, owned by the user (D91). */
export interface MkdirNode extends NodeBase {
  readonly kind: 'mkdir'
  readonly parent: NodeId
  readonly path: string
  readonly user: string
  readonly epochSec: number | undefined
}

export type Node =
  | ImageNode
  | ScratchNode
  | ContextNode
  | HttpNode
  | GitNode
  | RunNode
  | CopyNode
  | MkdirNode

/** A history entry that a stage adds; `node` is set exactly when the entry has a layer. */
export interface PlannedHistory {
  readonly createdBy: string
  readonly comment: string | undefined
  readonly author: string | undefined
  readonly node: NodeId | undefined
}

/** What a build of one platform has to produce. */
export interface BuildGraph {
  /** Index = NodeId. Parents come before children. May hold nodes that the target does not need. */
  readonly nodes: readonly Node[]
  /** Filesystem of the target stage. */
  readonly target: NodeId
  readonly targetStage: string
  readonly platform: GraphPlatform
  /** Config of the result, base config included, without rootfs and history. */
  readonly config: StageImageConfig
  /** Image node at the bottom of the target stage (its layers and history come first); undefined for scratch. */
  readonly base: NodeId | undefined
  /** Entries after the base's, oldest first. */
  readonly history: readonly PlannedHistory[]
  /** Seconds; from the build arg SOURCE_DATE_EPOCH when it was given. */
  readonly epochSec: number | undefined
  /** Of the lint rules, in no particular order of lines; shown after the build (features row L23). */
  readonly warnings: readonly Warning[]
}
