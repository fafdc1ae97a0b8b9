import {
  familiarReference,
  formatReference,
  type Platform,
} from '../../../registry-client/oci/index.ts'
import { LayerFetcher } from '../../ops/fetch-layer.ts'
import { ImageResolver, stackOf } from '../../ops/image.ts'
import { createLimits } from '../../solver/limits.ts'
import type { Command, CommandContext } from '../command.ts'
import { REGISTRY_FLAGS, ROOT_FLAG } from '../request/build-flags.ts'
import { readPlatforms } from '../request/platform.ts'
import { readReference } from '../request/reference.ts'
import { type CommandServices, openServices } from '../services.ts'
import { type MovingServices, withProgress } from '../with-progress.ts'

export const pullCommand: Command = {
  name: 'pull',
  usage: 'pull [OPTIONS] NAME[:TAG|@DIGEST]',
  description:
    'Downloads an image from a registry into the local store: manifest, config and layers, all verified.',
  flags: {
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
    const name = formatReference(reference)
    const given = args.list('platform')
    const byDefault = context.env['DOCKER_DEFAULT_PLATFORM']
    const wanted = given.length === 0 && byDefault !== undefined ? [byDefault] : given
    // As with docker pull, nothing is not given.
    const { platforms } = readPlatforms(wanted.filter((text) => text !== ''))
    await using services = await openServices(args, context)
    const digest = await withProgress(args, context, (moving) =>
      pullPlatforms(name, platforms, services, moving, context),
    )
    if (args.boolean('quiet') !== true) {
      context.stdout.write(`Digest: ${digest}\n`)
    }
    context.stdout.write(`${familiarReference(reference)}\n`)
    return 0
  },
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
