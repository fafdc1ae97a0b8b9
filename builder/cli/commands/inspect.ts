import { MANIFEST_BYTES_MAX } from '../../../registry-client/oci/index.ts'
import type { ParsedArgs } from '../args.ts'
import type { Command, CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { renderTemplate } from '../go-template.ts'
import { findImage, type ImageView, repoDigest, viewImage } from '../image-view.ts'
import { REGISTRY_FLAGS, ROOT_FLAG } from '../request/build-flags.ts'
import { readReference, REMOTE } from '../request/reference.ts'
import { type CommandServices, noticingRegistries, openServices } from '../services.ts'

export const inspectCommand: Command = {
  name: 'inspect',
  usage: 'inspect [OPTIONS] IMAGE [IMAGE...]',
  description:
    'Shows images as JSON, in the form of docker image inspect; one object for each platform.\n' +
    'With --raw: the manifest or index itself, byte for byte; docker://NAME asks the registry.',
  flags: {
    raw: { kind: 'boolean', help: 'Print the manifest or index as it is' },
    format: {
      kind: 'text',
      short: 'f',
      value: 'FORMAT',
      help: "json, or a template such as '{{json .Config}}' or '{{.Id}}'",
    },
    ...REGISTRY_FLAGS,
    ...ROOT_FLAG,
  },
  arguments: { min: 1, max: Infinity },
  run: async (args, context) => {
    const { stdout, signal } = context
    if (args.boolean('raw') === true) {
      return await inspectRaw(args, context)
    }
    const remote = args.positionals.find((text) => text.startsWith(REMOTE))
    if (remote !== undefined) {
      throw new UsageError(`${remote} is in a registry: give --raw to see its manifest, or pull it`)
    }
    await using services = await openServices(args, context)
    const objects: object[] = []
    for (const text of args.positionals) {
      const image = await findImage(text, services.images, signal)
      objects.push(
        ...inspectObjects(
          await viewImage(image, services, signal),
          await namesOf(image.target.digest, services, signal),
        ),
      )
    }
    const format = args.text('format')
    if (format === undefined || format === 'json') {
      stdout.write(`${JSON.stringify(objects, undefined, format === undefined ? 4 : undefined)}\n`)
    } else {
      stdout.write(objects.map((object) => `${renderTemplate(format, object)}\n`).join(''))
    }
    return 0
  },
}

/** One image at a time: bytes of several could not be told apart. */
async function inspectRaw(args: ParsedArgs, context: CommandContext): Promise<number> {
  const [text = '', ...more] = args.positionals
  if (more.length > 0 || args.text('format') !== undefined) {
    throw new UsageError('--raw shows one image, without --format')
  }
  context.stdout.write(
    text.startsWith(REMOTE)
      ? await rawRemote(text.slice(REMOTE.length), args, context)
      : await rawStored(text, args, context),
  )
  return 0
}

async function rawRemote(
  name: string,
  args: ParsedArgs,
  context: CommandContext,
): Promise<Uint8Array> {
  const reference = readReference(name, 'name')
  await using registries = noticingRegistries(args, context)
  const client = await registries.client()
  return (await client.fetchManifest(reference, { signal: context.signal })).bytes
}

async function rawStored(
  name: string,
  args: ParsedArgs,
  context: CommandContext,
): Promise<Uint8Array> {
  await using services = await openServices(args, context)
  const { target } = await findImage(name, services.images, context.signal)
  return await services.store.blobs.read(target.digest, MANIFEST_BYTES_MAX, context.signal)
}

async function namesOf(
  digest: string,
  services: CommandServices,
  signal: AbortSignal,
): Promise<ImageView[]> {
  const same = (await services.images.list()).filter(({ target }) => target.digest === digest)
  return await Promise.all(same.map((image) => viewImage(image, services, signal)))
}

function inspectObjects(view: ImageView, named: readonly ImageView[]): object[] {
  const withName = named.filter(({ image }) => image.name !== undefined)
  const digests = withName.map(repoDigest).filter((digest) => digest !== undefined)
  return view.platforms.map(({ config, manifest, manifestDigest }) => ({
    Id: manifest.config.digest,
    RepoTags: withName.map(({ repository, tag }) => `${repository}:${tag}`),
    RepoDigests: [...new Set(digests)],
    Comment: config.history.at(-1)?.comment ?? '',
    Created: config.created ?? '',
    Author: config.author ?? '',
    Config: config.config,
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    Size: view.sizeBytes,
    RootFS: { Type: config.rootfs.type, Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: view.image.storedAt },
    Descriptor: { mediaType: manifest.mediaType, digest: manifestDigest },
  }))
}
