import {
  familiarName,
  familiarReference,
  formatReference,
  type Platform,
  type Reference,
} from '../../../registry-client/oci/index.ts'
import { LayerFetcher } from '../../ops/fetch-layer.ts'
import { ImageResolver, stackOf } from '../../ops/image.ts'
import { createLimits } from '../../solver/limits.ts'
import type { Command, CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { freePassingBuffersEarly } from '../passing-buffers.ts'
import { REGISTRY_FLAGS, ROOT_FLAG } from '../request/build-flags.ts'
import { readPlatforms } from '../request/platform.ts'
import { hasTagOrDigest, readReference } from '../request/reference.ts'
import { type CommandServices, openServices } from '../services.ts'
import { type MovingServices, withProgress } from '../with-progress.ts'

export const pullCommand: Command = {
  name: 'pull',
  usage: 'pull [OPTIONS] NAME[:TAG|@DIGEST]',
  description:
    'Downloads an image from a registry into the local store: manifest, config and layers, all verified.',
  flags: {
    'all-tags': { kind: 'boolean', short: 'a', help: 'Pull every tag of the repository' },
    platform: {
      kind: 'list',
      value: 'OS/ARCH',
      help: "Platform to pull (default this machine's), may be repeated",
    },
    quiet: { kind: 'boolean', short: 'q', help: 'Print the name only' },
    ...REGISTRY_FLAGS,
    ...ROOT_FLAG,
  },
  arguments: { min: 1, max: 1 },
  run: async (args, context) => {
    const [text = ''] = args.positionals
    const reference = readReference(text, 'name')
    const isWhole = args.boolean('all-tags') === true
    if (isWhole && hasTagOrDigest(text)) {
      throw new UsageError(`--all-tags needs a name without a tag: ${familiarName(reference)}`)
    }
    const given = args.list('platform')
    const byDefault = context.env['DOCKER_DEFAULT_PLATFORM']
    const wanted = given.length === 0 && byDefault !== undefined ? [byDefault] : given
    // As with docker pull, nothing is not given.
    const { platforms } = readPlatforms(wanted.filter((text) => text !== ''))
    freePassingBuffersEarly()
    await using services = await openServices(args, context)
    const lines = await withProgress(args, context, async (moving) => {
      const pulled: string[] = []
      for (const one of isWhole ? await tagsOf(reference, moving, context) : [reference]) {
        const name = formatReference(one)
        const digest = await pullPlatforms(name, platforms, services, moving, context)
        if (args.boolean('quiet') !== true) pulled.push(`Digest: ${digest}\n`)
        pulled.push(`${familiarReference(one)}\n`)
      }
      return pulled
    })
    context.stdout.write(lines.join(''))
    return 0
  },
}

async function tagsOf(
  reference: Reference,
  { registries }: MovingServices,
  { signal }: CommandContext,
): Promise<Reference[]> {
  const tags = await (await registries.client()).listTags(reference, { signal })
  return tags.map((tag) => ({ ...reference, tag }))
}

/** Digest of what the name leads to: the index when there is one. */
async function pullPlatforms(
  name: string,
  platforms: readonly Platform[],
  { store, images }: CommandServices,
  { steps, registries }: MovingServices,
  { signal }: CommandContext,
): Promise<string> {
  const limits = createLimits(1)
  const registry = (): ReturnType<typeof registries.client> => registries.client()
  const resolver = new ImageResolver({
    images,
    blobs: store.blobs,
    registry,
    limits,
    steps,
    isForBuild: false,
    isPullForced: true,
    nowMs: Date.now,
  })
  const fetcher = new LayerFetcher({ store, registry, limits, steps })
  let digest = ''
  for (const platform of platforms) {
    const resolved = await resolver.resolve(name, platform, signal)
    digest = (await images.get(name))?.target.digest ?? resolved.handle
    await Promise.all(stackOf(resolved).map((layer) => fetcher.fetch(layer, signal)))
  }
  return digest
}
