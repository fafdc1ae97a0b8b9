import type { ChainId, DiffId, Digest } from '../../registry-client/oci/index.ts'
import { chainIdOf } from '../../registry-client/oci/index.ts'
import { hashValue, type KeyValue } from './canonical.ts'

/**
 * Bump when a step with equal inputs would give another result than before (features row K14): records of other
 * versions are never found.
 */
export const KEY_VERSION = 1

/** The key of a step's record. */
export type CacheKey = Digest

/**
 * What a step's result depends on, in words that `explain` can compare. Nothing here names the host, the time, a
 * secret's value or a proxy (features rows K2, K10, K31), so keys can travel between machines.
 */
export type KeyInputs = RunInputs | CopyInputs | MkdirInputs

interface FilesystemInputs {
  /** ChainId of the filesystem the step runs over; `scratch` when empty: a record is valid for exactly that one. */
  readonly parent: string
}

/** Everything that the process of a RUN can observe and that the user declared. */
export interface RunInputs extends FilesystemInputs {
  readonly kind: 'run'
  /** Another architecture is another program. */
  readonly platform: string
  readonly args: readonly string[]
  /** `NAME=value` in order, ARGs in scope included, proxies not (D46). */
  readonly env: readonly string[]
  readonly cwd: string
  readonly user: string
  readonly hostname: string
  /** Names without addresses: the same host may have another address tomorrow (K2). */
  readonly extraHosts: readonly string[]
  readonly network: string
  readonly security: string
  readonly ulimits: readonly string[]
  readonly shmSizeBytes: number | undefined
  readonly cgroupParent: string | undefined
  readonly mounts: readonly KeyMount[]
  readonly scripts: readonly { readonly name: string; readonly content: string }[]
  readonly devices: readonly string[]
}

/**
 * A mount as the process sees it. What cache mounts hold is no input, nor are their ids (D69), but how they begin is;
 * and BuildKit tells the id that nobody wrote, which is the target, from one that was written.
 */
export type KeyMount =
  | {
      readonly type: 'bind'
      readonly target: string
      readonly isReadonly: boolean
      readonly content: string
    }
  | {
      readonly type: 'cache'
      readonly target: string
      readonly isReadonly: boolean
      readonly isDefault: boolean
      readonly initial: string | undefined
    }
  | {
      readonly type: 'tmpfs'
      readonly target: string
      readonly sizeBytes: number | undefined
      readonly isReadonly: boolean
    }
  | {
      readonly type: 'secret' | 'ssh'
      readonly id: string
      readonly target: string | undefined
      readonly env: string | undefined
      readonly isRequired: boolean
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }

/** COPY and ADD: where it goes, what was selected. Where the selected files came from, but for the last name, is not an input (K4, K11). */
export interface CopyInputs extends FilesystemInputs {
  readonly kind: 'copy'
  readonly dest: string
  readonly destIsDirectory: boolean
  readonly chown: string | undefined
  readonly chmod: string | undefined
  readonly parents: boolean
  /** As written, though what they left is in the key as well: they are part of the operation (K4). */
  readonly exclude: readonly string[] | undefined
  readonly unpack: readonly string[]
  readonly epochSec: number | undefined
  /** Source as written and digest of what it selected: names, modes, ids, types, links, xattrs, bytes; no times (K5). */
  readonly sources: readonly { readonly pattern: string; readonly content: string }[]
}

export interface MkdirInputs extends FilesystemInputs {
  readonly kind: 'mkdir'
  readonly path: string
  readonly user: string
  readonly epochSec: number | undefined
}

/** The key of a step with these inputs. Patterns of COPY are for `explain`; what they selected is in the key. */
export function cacheKeyOf(inputs: KeyInputs): CacheKey {
  const hashed =
    inputs.kind === 'copy'
      ? { ...inputs, sources: inputs.sources.map((source) => source.content) }
      : inputs
  return hashValue({ version: KEY_VERSION, inputs: toKeyValue(hashed) })
}

/**
 * The first-level key of a COPY from other stages or images: known without reading any table of contents. Its record
 * holds the content key, under which the layer is recorded.
 */
export function aliasKeyOf(parts: {
  readonly parent: string
  readonly definition: KeyValue
  readonly sources: readonly string[]
}): CacheKey {
  return hashValue({ version: KEY_VERSION, alias: 'copy', ...parts })
}

/** How a filesystem is named in keys. */
export function parentName(diffIds: readonly DiffId[]): string {
  const chain: ChainId | undefined = chainIdOf(diffIds)
  return chain ?? 'scratch'
}

function toKeyValue(value: unknown): KeyValue {
  if (
    value === undefined ||
    typeof value === 'string' ||
    typeof value === 'number' ||
    typeof value === 'boolean'
  ) {
    return value
  }
  if (Array.isArray(value)) {
    return value.map(toKeyValue)
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([name, field]) => [name, toKeyValue(field)]),
    )
  }
  throw new TypeError(`could not make a key: it holds a ${typeof value}`)
}
