import type { Command } from '../command.ts'
import { renderTemplate } from '../go-template.ts'
import { findImage, type ImageView, repoDigest, viewImage } from '../image-view.ts'
import { ROOT_FLAG } from '../request/build-flags.ts'
import { type CommandServices, openServices } from '../services.ts'

export const inspectCommand: Command = {
  name: 'inspect',
  usage: 'inspect [OPTIONS] IMAGE [IMAGE...]',
  description:
    'Shows images as JSON, in the form of docker image inspect; one object for each platform.',
  flags: {
    format: {
      kind: 'text',
      short: 'f',
      value: 'FORMAT',
      help: "json, or a template such as '{{json .Config}}' or '{{.Id}}'",
    },
    ...ROOT_FLAG,
  },
  arguments: { min: 1, max: Infinity },
  run: async (args, context) => {
    const { stdout, signal } = context
    await using services = await openServices(args, context)
    const objects: object[] = []
    for (const text of args.positionals) {
      const image = await findImage(text, services.images, signal)
      objects.push(
        ...inspectObjects(
          await viewImage(image, services, signal),
          await namesOf(image.target.digest, services),
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

async function namesOf(digest: string, { images, store }: CommandServices): Promise<ImageView[]> {
  const same = (await images.list()).filter(({ target }) => target.digest === digest)
  const signal = new AbortController().signal
  return await Promise.all(same.map((image) => viewImage(image, { images, store }, signal)))
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
