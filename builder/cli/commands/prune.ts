import { collectGarbage } from '../../../snapshotter/index.ts'
import type { Command, CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { CACHE_KINDS, cacheSources, type PrunedImages } from '../gc-sources.ts'
import { cacheMountSizes, workerForTrees } from '../mount-sizes.ts'
import { formatBytes } from '../progress/format.ts'
import { askYesNo } from '../prompt.ts'
import { ROOT_FLAG } from '../request/build-flags.ts'
import { bytesToKeep, onlyOf, readFilters, readSpace } from '../prune-policy.ts'
import { openServices } from '../services.ts'

export const pruneCommand: Command = {
  name: 'prune',
  usage: 'prune [OPTIONS]',
  description:
    'Frees disk space: removes cached steps, cache mounts, failed steps and images without a name. With --all also base\n' +
    'images that only builds have pulled, with --images every image. What a running build uses stays.',
  flags: {
    all: {
      kind: 'boolean',
      short: 'a',
      help: 'Also base images that only builds have pulled, and steps whose layers an image holds anyway',
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
    const { stdout, signal } = context
    const wanted = readFilters(args.list('filter'))
    const space = readSpace(args)
    const hasImages = args.boolean('images') === true
    const all = args.boolean('all') === true || hasImages
    const pruned = hasImages ? 'all' : all ? 'bases' : 'unnamed'
    if (args.boolean('force') !== true && !(await isConfirmed(pruned, context))) {
      return 0
    }
    const keepBytes = await bytesToKeep(space, () => openServices(args, context), signal)
    await using services = await openServices(args, context)
    await using worker = workerForTrees(services)
    const mountSizes = await cacheMountSizes(services, worker, signal)
    const { usedBeforeMs } = wanted
    const result = await collectGarbage(
      {
        store: services.store,
        kernel: services.kernel,
        sources: onlyOf(cacheSources(services, pruned, mountSizes), wanted),
        policy: {
          all,
          ...(usedBeforeMs === undefined ? {} : { usedBeforeMs }),
          ...(keepBytes === undefined ? {} : { keepBytes }),
        },
        removeStubborn: async (paths, inner) => (await worker.get(inner)).removeTrees(paths, inner),
      },
      signal,
    )
    stdout.write(
      `Removed ${result.droppedRecords.length} records, ${result.removedLayers.length} layers, ${result.removedBlobs.length} blobs\n`,
    )
    stdout.write(`Total reclaimed space: ${formatBytes(result.reclaimedBytes)}\n`)
    return 0
  },
}

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
