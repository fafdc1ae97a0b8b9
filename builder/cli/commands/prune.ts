import type { GcResult } from '../../../snapshotter/index.ts'
import type { ParsedArgs } from '../args.ts'
import { collectByRules } from '../collection/collect.ts'
import { collectCache } from '../collection/collect-cache.ts'
import { diskSpaceAt } from '../collection/disk.ts'
import { DEFAULT_SETTINGS, readCollectionSettings } from '../collection/limits.ts'
import type { Command, CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { CACHE_KINDS, type PrunedImages } from '../gc-sources.ts'
import { workerForTrees } from '../mount-sizes.ts'
import { formatBytes } from '../progress/format.ts'
import { askYesNo } from '../prompt.ts'
import { ROOT_FLAG } from '../request/build-flags.ts'
import { bytesToKeep, namedBy, readFilters, readSpace } from '../prune-policy.ts'
import { openServices } from '../services.ts'

export const pruneCommand: Command = {
  name: 'prune',
  usage: 'prune [OPTIONS]',
  description:
    'Frees disk space: removes cached steps, cache mounts, failed steps and images without a name. With --all also base\n' +
    'images that only builds have pulled, with --images every image. What a running build uses stays.\n' +
    'Builds do it by themselves when the cache is over its limits (TSBUILD_GC), as --auto does.',
  flags: {
    all: {
      kind: 'boolean',
      short: 'a',
      help: 'Also base images that only builds have pulled, and steps whose layers an image holds anyway',
    },
    auto: {
      kind: 'boolean',
      help: 'Only what the cache is over the limits of TSBUILD_GC, without asking: what builds have done after them',
    },
    filter: {
      kind: 'list',
      value: 'KEY=VALUE',
      help: `Only what was not used for so long (until=24h), has this id= or type= (${CACHE_KINDS.join(', ')})`,
    },
    force: { kind: 'boolean', short: 'f', help: 'Do not ask' },
    images: {
      kind: 'boolean',
      help: 'Also images with a name (as rmi of all of them); implies --all',
    },
    'max-used-space': {
      kind: 'text',
      value: 'BYTES',
      help: 'Remove the least recently used until everything takes at most this much',
    },
    'min-free-space': {
      kind: 'text',
      value: 'BYTES',
      help: 'The same, until the disk has at least this much space',
    },
    'reserved-space': {
      kind: 'text',
      value: 'BYTES',
      help: 'Whatever the other two say, leave this much; without them as --max-used-space',
    },
    'keep-storage': { kind: 'text' },
    ...ROOT_FLAG,
  },
  arguments: { min: 0, max: 0 },
  run: async (args, context) => {
    if (args.boolean('auto') === true) {
      print(await pruneByRules(args, context), context)
      return 0
    }
    const result = await pruneAsAsked(args, context)
    if (result !== undefined) print(result, context)
    return 0
  },
}

/** undefined: it was not to be. */
async function pruneAsAsked(
  args: ParsedArgs,
  context: CommandContext,
): Promise<GcResult | undefined> {
  const { signal } = context
  const filters = readFilters(args.list('filter'))
  const space = readSpace(args)
  const hasImages = args.boolean('images') === true
  const all = args.boolean('all') === true || hasImages
  const pruned = hasImages ? 'all' : all ? 'bases' : 'unnamed'
  if (args.boolean('force') !== true && !(await isConfirmed(pruned, context))) {
    return undefined
  }
  const keepBytes = await bytesToKeep(space, () => openServices(args, context), signal)
  await using services = await openServices(args, context)
  await using worker = workerForTrees(services)
  const { usedBeforeMs } = filters
  const policy = {
    takes: namedBy(filters),
    all,
    ...(usedBeforeMs === undefined ? {} : { usedBeforeMs }),
    ...(keepBytes === undefined ? {} : { keepBytes }),
  }
  return await collectCache(services, worker, { pruned, policies: [policy] }, signal)
}

/** `--auto`: the limits are those of the environment, so that it does what builds have done. Off means for builds only. */
async function pruneByRules(
  args: ParsedArgs,
  context: CommandContext,
): Promise<GcResult | undefined> {
  const other = BY_HAND.find((flag) => args.has(flag))
  if (other !== undefined) {
    throw new UsageError(`--auto and --${other} cannot be used together: TSBUILD_GC has its limits`)
  }
  const settings = readCollectionSettings(context.env) ?? DEFAULT_SETTINGS
  const open = (): ReturnType<typeof openServices> => openServices(args, context)
  const nowMs = Date.now()
  return await collectByRules({ open, settings, disk: diskSpaceAt, nowMs }, context.signal)
}

function print(result: GcResult | undefined, { stdout }: CommandContext): void {
  const {
    droppedRecords = [],
    removedLayers = [],
    removedBlobs = [],
    reclaimedBytes = 0,
  } = result ?? {}
  stdout.write(
    `Removed ${droppedRecords.length} records, ${removedLayers.length} layers, ${removedBlobs.length} blobs\n`,
  )
  stdout.write(`Total reclaimed space: ${formatBytes(reclaimedBytes)}\n`)
}

/** Flags that say what `--auto` takes from TSBUILD_GC. */
const BY_HAND = [
  'all',
  'images',
  'filter',
  'max-used-space',
  'min-free-space',
  'reserved-space',
  'keep-storage',
]

async function isConfirmed(pruned: PrunedImages, context: CommandContext): Promise<boolean> {
  if (context.stdin.isTTY !== true) {
    throw new UsageError('prune asks before it removes; without a terminal give --force')
  }
  return await askYesNo(`This removes ${REMOVED[pruned]}. Continue? [y/N] `, context)
}

const REMOVED: Readonly<Record<PrunedImages, string>> = {
  unnamed: 'all cache that no image needs',
  bases: 'all cache, and base images that only builds have pulled',
  all: 'all cache and ALL images',
}
