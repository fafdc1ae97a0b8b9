import { type DiffId, parseDiffId } from './digest.ts'
import type { ContainerConfig, Healthcheck, HistoryEntry, ImageConfig } from './image-config.ts'
import {
  asArrayOf,
  asBoolean,
  asInteger,
  asMapOf,
  asObject,
  asString,
  type JsonObject,
  type JsonPlace,
  jsonError,
  optional,
  parseJsonObject,
} from './json-reader.ts'
import { inKeyOrder, sortedMap, withoutEmpty, withoutUndefined } from './json-writer.ts'

/** Real configs are a few KiB; thousands of history lines with long commands stay below this. */
export const CONFIG_BYTES_MAX: number = 8 * 1024 * 1024

// The orders of the Go types that other builders write from.
const IMAGE_KEYS = [
  'created',
  'author',
  'architecture',
  'os',
  'os.version',
  'os.features',
  'variant',
  'config',
  'rootfs',
  'history',
]
const CONTAINER_KEYS = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'ArgsEscaped',
  'Healthcheck',
  'OnBuild',
  'Shell',
]
const HEALTHCHECK_KEYS = ['Test', 'Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries']
const HISTORY_KEYS = ['created', 'created_by', 'author', 'comment', 'empty_layer']

/**
 * Reads an image config. Null members count as absent, and keys that we do not know are kept, at
 * the top and in `config` (features row D143). Members that we do know must have their type. Throws
 * OciError `bad-config`.
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const place: JsonPlace = { path: 'image config', code: 'bad-config' }
  const object = parseJsonObject(bytes, place, CONFIG_BYTES_MAX)
  const rootfs = optional(object, 'rootfs', place, readRootfs) ?? {
    type: 'layers' as const,
    diff_ids: [],
  }
  return {
    ...unknownMembers(object, IMAGE_KEYS),
    ...withoutUndefined({
      created: optional(object, 'created', place, asString),
      author: optional(object, 'author', place, asString),
      architecture: optional(object, 'architecture', place, asString) ?? '',
      os: optional(object, 'os', place, asString) ?? '',
      'os.version': optional(object, 'os.version', place, asString),
      'os.features': optional(object, 'os.features', place, asArrayOf(asString)),
      variant: optional(object, 'variant', place, asString),
      config: optional(object, 'config', place, readContainerConfig) ?? {},
      rootfs,
      history: optional(object, 'history', place, asArrayOf(readHistoryEntry)) ?? [],
    }),
  }
}

/** Members that are written although they hold nothing. */
const ALWAYS_WRITTEN = ['architecture', 'os', 'config', 'rootfs', 'history']

/**
 * The bytes of a config: compact JSON in the specification's key order with maps sorted and without members that hold
 * nothing, so equal configs are equal bytes.
 */
export function serializeImageConfig(config: ImageConfig): Uint8Array {
  const { config: container, history, rootfs, ...others } = config
  const json = {
    ...others,
    config: containerConfigJson(container),
    rootfs: { type: rootfs.type, diff_ids: rootfs.diff_ids },
    history: history.map((entry) =>
      inKeyOrder(withoutEmpty({ ...entry }, HISTORY_KEYS), HISTORY_KEYS),
    ),
  }
  const optionalKeys = IMAGE_KEYS.filter((key) => !ALWAYS_WRITTEN.includes(key))
  return Buffer.from(JSON.stringify(inKeyOrder(withoutEmpty(json, optionalKeys), IMAGE_KEYS)))
}

function containerConfigJson(container: ContainerConfig): Record<string, unknown> {
  const { Healthcheck: healthcheck, ...others } = container
  const json: Record<string, unknown> = withoutEmpty(
    {
      ...others,
      ExposedPorts: sortedMap(container.ExposedPorts),
      Volumes: sortedMap(container.Volumes),
      Labels: sortedMap(container.Labels),
    },
    CONTAINER_KEYS,
  )
  if (healthcheck !== undefined) {
    const kept = withoutEmpty({ ...healthcheck }, HEALTHCHECK_KEYS)
    json['Healthcheck'] = inKeyOrder(kept, HEALTHCHECK_KEYS)
  }
  return inKeyOrder(json, CONTAINER_KEYS)
}

function readContainerConfig(value: unknown, place: JsonPlace): ContainerConfig {
  const object = asObject(value, place)
  const strings = asArrayOf(asString)
  return {
    ...unknownMembers(object, CONTAINER_KEYS),
    ...withoutUndefined({
      User: optional(object, 'User', place, asString),
      ExposedPorts: optional(object, 'ExposedPorts', place, readNameSet),
      Env: optional(object, 'Env', place, strings),
      Entrypoint: optional(object, 'Entrypoint', place, strings),
      Cmd: optional(object, 'Cmd', place, strings),
      Volumes: optional(object, 'Volumes', place, readNameSet),
      WorkingDir: optional(object, 'WorkingDir', place, asString),
      Labels: optional(object, 'Labels', place, asMapOf(asString)),
      StopSignal: optional(object, 'StopSignal', place, asString),
      Healthcheck: optional(object, 'Healthcheck', place, readHealthcheck),
      ArgsEscaped: optional(object, 'ArgsEscaped', place, asBoolean),
      OnBuild: optional(object, 'OnBuild', place, strings),
      Shell: optional(object, 'Shell', place, strings),
    }),
  }
}

/** ExposedPorts and Volumes are sets, written as maps to empty objects. */
function readNameSet(value: unknown, place: JsonPlace): Record<string, Record<string, never>> {
  return Object.fromEntries(Object.keys(asObject(value, place)).map((name) => [name, {}]))
}

function readHealthcheck(value: unknown, place: JsonPlace): Healthcheck {
  const object = asObject(value, place)
  return withoutUndefined({
    Test: optional(object, 'Test', place, asArrayOf(asString)),
    Interval: optional(object, 'Interval', place, asInteger),
    Timeout: optional(object, 'Timeout', place, asInteger),
    StartPeriod: optional(object, 'StartPeriod', place, asInteger),
    StartInterval: optional(object, 'StartInterval', place, asInteger),
    Retries: optional(object, 'Retries', place, asInteger),
  })
}

function readHistoryEntry(value: unknown, place: JsonPlace): HistoryEntry {
  const object = asObject(value, place)
  return withoutUndefined({
    created: optional(object, 'created', place, asString),
    created_by: optional(object, 'created_by', place, asString),
    author: optional(object, 'author', place, asString),
    comment: optional(object, 'comment', place, asString),
    empty_layer: optional(object, 'empty_layer', place, asBoolean),
  })
}

function readRootfs(value: unknown, place: JsonPlace): { type: 'layers'; diff_ids: DiffId[] } {
  const object = asObject(value, place)
  return {
    type: 'layers',
    diff_ids: optional(object, 'diff_ids', place, asArrayOf(readDiffId)) ?? [],
  }
}

function readDiffId(value: unknown, place: JsonPlace): DiffId {
  const text = asString(value, place)
  const diffId = parseDiffId(text)
  if (diffId === undefined)
    throw jsonError(place, `must be a sha256 digest, not ${JSON.stringify(text.slice(0, 100))}`)
  return diffId
}

function unknownMembers(object: JsonObject, known: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !known.includes(key)))
}
