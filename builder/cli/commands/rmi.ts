import { familiarReference, parseReference } from '../../../registry-client/oci/index.ts'
import type { StoredImage } from '../../image/image-store.ts'
import type { Command } from '../command.ts'
import { CommandError } from '../errors.ts'
import { findImage, shortId, viewImage } from '../image-view.ts'
import { ROOT_FLAG } from '../request/build-flags.ts'
import { type CommandServices, openServices } from '../services.ts'

export const rmiCommand: Command = {
  name: 'rmi',
  usage: 'rmi [OPTIONS] IMAGE [IMAGE...]',
  description:
    'Removes names of images. An image that loses its last name is gone; its layers stay as cache until tsbuild prune.',
  flags: {
    force: {
      kind: 'boolean',
      short: 'f',
      help: 'Remove all names of an image given by id; missing images are no failure',
    },
    ...ROOT_FLAG,
  },
  arguments: { min: 1, max: Infinity },
  run: async (args, context) => {
    const isForced = args.boolean('force') === true
    await using services = await openServices(args, context)
    for (const text of args.positionals) {
      const lines = await removeImage(text, isForced, services, context.signal)
      context.stdout.write(lines.map((line) => `${line}\n`).join(''))
    }
    return 0
  },
}

async function removeImage(
  text: string,
  isForced: boolean,
  services: CommandServices,
  signal: AbortSignal,
): Promise<string[]> {
  const { images } = services
  const found = await findImage(text, images, signal).catch((error: unknown) => {
    if (isForced && error instanceof Error && 'code' in error && error.code === 'name-missing') {
      return undefined
    }
    throw error
  })
  if (found === undefined) {
    return []
  }
  const { id } = await viewImage(found, services, signal)
  const same = (await images.list()).filter(({ target }) => target.digest === found.target.digest)
  const removed = isName(text, found) ? [found] : same
  if (removed.length > 1 && !isForced) {
    const names = removed.map(shownName).join(', ')
    throw new CommandError(
      'image-in-use',
      `could not remove image ${shortId(id)}: it has several names (${names})`,
      {
        hint: 'name the one to remove, or give -f to remove all',
      },
    )
  }
  for (const image of removed) {
    await images.remove(image)
  }
  const lines = removed
    .filter(({ name }) => name !== undefined)
    .map((image) => `Untagged: ${shownName(image)}`)
  return removed.length === same.length ? [...lines, `Deleted: ${id}`] : lines
}

/** Whether the image was found by its name, not by its id. */
function isName(text: string, image: StoredImage): boolean {
  return image.name !== undefined && !/^(?:sha256:)?[a-f0-9]{4,64}$/.test(text)
    ? true
    : image.name !== undefined && familiarReference(parseReference(image.name)) === text
}

function shownName({ name, target }: StoredImage): string {
  return name === undefined ? target.digest : familiarReference(parseReference(name))
}
