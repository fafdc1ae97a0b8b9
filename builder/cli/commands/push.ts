import {
  familiarName,
  familiarReference,
  parseReference,
} from '../../../registry-client/oci/index.ts'
import { BuildError } from '../../errors.ts'
import { FORMAT_DEFAULT } from '../../export/layer-formats.ts'
import { rootManifest } from '../../export/layout-files.ts'
import { RegistryExporter } from '../../export/registry.ts'
import type { Command, CommandContext } from '../command.ts'
import { findImage } from '../image-view.ts'
import { REGISTRY_FLAGS, ROOT_FLAG } from '../request/build-flags.ts'
import { readReference, readTag } from '../request/reference.ts'
import { type CommandServices, openServices } from '../services.ts'
import { storedBlobs, storedResult } from '../stored-result.ts'
import { type MovingServices, withProgress } from '../with-progress.ts'

export const pushCommand: Command = {
  name: 'push',
  usage: 'push [OPTIONS] NAME[:TAG]',
  description: 'Uploads an image of the local store to the registry that its name begins with.',
  flags: {
    'all-tags': { kind: 'boolean', short: 'a', help: 'Push every tag of the repository' },
    quiet: { kind: 'boolean', short: 'q', help: 'No progress' },
    ...REGISTRY_FLAGS,
    ...ROOT_FLAG,
  },
  arguments: { min: 1, max: 1 },
  run: async (args, context) => {
    const [text = ''] = args.positionals
    await using services = await openServices(args, context)
    const names =
      args.boolean('all-tags') === true ? await tagsOf(text, services) : [readTag(text, 'name')]
    const lines = await withProgress(args, context, async (moving) => {
      const pushed: string[] = []
      for (const name of names) {
        pushed.push(await pushOne(name, services, moving, context))
      }
      return pushed
    })
    context.stdout.write(lines.join(''))
    return 0
  },
}

async function pushOne(
  name: string,
  services: CommandServices,
  { steps, registries }: MovingServices,
  { signal }: CommandContext,
): Promise<string> {
  const image = await findImage(name, services.images, signal)
  const { result, configOf } = await storedResult(image, services, signal)
  const exporter = new RegistryExporter(
    // The format is for outputs that make layers: what is pushed here is as it is.
    { format: FORMAT_DEFAULT, names: [name], pushByDigest: false, configOf },
    () => registries.client(),
  )
  await exporter.export(result, storedBlobs(services, registries, steps), signal)
  const { digest, bytes } = rootManifest(result)
  return `${parseReference(name).tag ?? familiarReference(parseReference(name))}: digest: ${digest} size: ${bytes.byteLength}\n`
}

async function tagsOf(text: string, { images }: CommandServices): Promise<string[]> {
  const repository = familiarName(readReference(text, 'name'))
  const names = (await images.list()).map(({ name }) => name).filter((name) => name !== undefined)
  const own = names.filter((name) => familiarName(parseReference(name)) === repository)
  if (own.length === 0) {
    throw new BuildError('name-missing', `could not push ${repository}: the store has no tag of it`)
  }
  return own
}
