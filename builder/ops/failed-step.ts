import type { RunMount, RunNode } from '../../frontend/index.ts'
import { type DiffId, parseDiffId } from '../../registry-client/oci/index.ts'
import type { WriteStamp } from '../../snapshotter/index.ts'
import type { RunRequest } from '../worker/protocol.ts'

/**
 * A RUN that failed, with what a shell in it needs: `step.json` beside the directory with what the command wrote. It names
 * secrets and agents and holds none: no value of `--secret`, no proxy (their addresses carry passwords).
 */
export interface FailedStep {
  readonly id: string
  /** RFC 3339. */
  readonly failedAt: string
  readonly title: string
  /** e.g. `exit code: 2`. */
  readonly reason: string
  /** In the files that the command wrote. */
  readonly sizeBytes: number
  /** Of the step's root filesystem, bottom first. */
  readonly layers: readonly DiffId[]
  readonly node: FailedNode
  /** Names of the proxy variables that the command had. */
  readonly proxies: readonly string[]
  readonly mounts: readonly FailedMount[]
  readonly surroundings: FailedSurroundings
}

export type FailedNode = Pick<
  RunNode,
  'args' | 'shell' | 'env' | 'cwd' | 'user' | 'security' | 'scripts'
>

export interface FailedMount {
  readonly mount: RunMount
  /** Of a bind: its tree, bottom first. */
  readonly layers?: readonly DiffId[]
  /** Where in that tree the mount begins. */
  readonly source?: string
  /** Of a cache that begins with the content of a stage. */
  readonly initial?: string
}

/** What the command line said about every RUN. */
export type FailedSurroundings = Pick<
  RunRequest,
  'hostname' | 'network' | 'extraHosts' | 'ulimits' | 'shmSizeBytes' | 'limits'
> & { readonly cgroupParent?: string }

const FORMAT = 1

/** The text of `step.json`. */
export function writeFailedStep(step: FailedStep, stamp: WriteStamp): string {
  return `${JSON.stringify({ format: FORMAT, stamp, step })}\n`
}

/**
 * Reads what `writeFailedStep` wrote in this version; undefined for anything else, also for what a crash of the machine
 * may have separated from its files. The file is ours alone (mode 0600), so what matters is that it is whole: its
 * format says what is in it.
 */
export function readFailedStep(
  text: string,
  isTrusted: (stamp: WriteStamp) => boolean,
): FailedStep | undefined {
  const value = parse(text)
  if (!isObject(value) || value['format'] !== FORMAT || !isStamp(value['stamp'])) return undefined
  const { stamp, step } = value
  return isTrusted(stamp) && isFailedStep(step) ? step : undefined
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Cut short by a crash of the machine.
    return undefined
  }
}

function isStamp(value: unknown): value is WriteStamp {
  return isObject(value) && typeof value['boot'] === 'string' && typeof value['atMs'] === 'number'
}

function isFailedStep(value: unknown): value is FailedStep {
  return (
    isObject(value) &&
    [value['id'], value['failedAt'], value['title'], value['reason']].every(isText) &&
    typeof value['sizeBytes'] === 'number' &&
    isListOf(value['layers'], isDiffId) &&
    isListOf(value['proxies'], isText) &&
    isListOf(value['mounts'], isMount) &&
    isNode(value['node']) &&
    isObject(value['surroundings'])
  )
}

function isNode(value: unknown): boolean {
  return (
    isObject(value) &&
    isListOf(value['args'], isText) &&
    isListOf(value['shell'], isText) &&
    isListOf(value['env'], isText) &&
    [value['cwd'], value['user'], value['security']].every(isText) &&
    isListOf(value['scripts'], isObject)
  )
}

function isMount(value: unknown): boolean {
  return (
    isObject(value) &&
    isObject(value['mount']) &&
    isText(value['mount']['type']) &&
    (value['layers'] === undefined || isListOf(value['layers'], isDiffId)) &&
    (value['source'] === undefined || isText(value['source'])) &&
    (value['initial'] === undefined || isText(value['initial']))
  )
}

function isDiffId(value: unknown): value is DiffId {
  return typeof value === 'string' && parseDiffId(value) !== undefined
}

function isListOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isItem)
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
