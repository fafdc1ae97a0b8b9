import { collectGarbage, type GcPolicy } from '../../../snapshotter/index.ts'
import type { ParsedArgs } from '../args.ts'
import type { Command, CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { cacheSources, type PrunedImages } from '../gc-sources.ts'
import { cacheMountSizes, workerForTrees } from '../mount-sizes.ts'
import { formatBytes } from '../progress/format.ts'
import { askYesNo } from '../prompt.ts'
import { ROOT_FLAG } from '../request/build-flags.ts'
import { readDurationMs, readSizeBytes } from '../request/size.ts'
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
      value: 'until=DURATION',
      help: 'Only what was not used for this long, e.g. until=24h',
    },
    force: { kind: 'boolean', short: 'f', help: 'Do not ask' },
    images: {
      kind: 'boolean',
      help: 'Also images with a name (as rmi of all of them); implies --all',
    },
    'keep-storage': {
      kind: 'text',
      value: 'BYTES',
      help: 'Remove the least recently used until everything takes at most this much',
    },
    'max-used-space': { kind: 'text', value: 'BYTES', help: 'The same, under its newer name' },
    ...ROOT_FLAG,
  },
  arguments: { min: 0, max: 0 },
  run: async (args, context) => {
    const { stdout, signal } = context
    const policy = readPolicy(args)
    const pruned = args.boolean('images') === true ? 'all' : policy.all ? 'bases' : 'unnamed'
    if (args.boolean('force') !== true && !(await isConfirmed(pruned, context))) {
      return 0
    }
    await using services = await openServices(args, context)
    await using worker = workerForTrees(services)
    const mountSizes = await cacheMountSizes(services, worker, signal)
    const result = await collectGarbage(
      {
        store: services.store,
        kernel: services.kernel,
        sources: cacheSources(services, pruned, mountSizes),
        policy,
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

function readPolicy(args: ParsedArgs): GcPolicy {
  const keep = args.text('max-used-space') ?? args.text('keep-storage')
  let usedBeforeMs: number | undefined
  for (const text of args.list('filter')) {
    const until = /^until=(.+)$/.exec(text)?.[1]
    if (until === undefined) {
      throw new UsageError(`invalid filter "${text}" (known: until=DURATION)`)
    }
    usedBeforeMs = Date.now() - readDurationMs(until, 'filter')
  }
  return {
    all: args.boolean('all') === true || args.boolean('images') === true,
    ...(usedBeforeMs === undefined ? {} : { usedBeforeMs }),
    ...(keep === undefined ? {} : { keepBytes: readSizeBytes(keep, 'max-used-space') }),
  }
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
