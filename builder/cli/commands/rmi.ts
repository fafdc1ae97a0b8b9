import { errnoOf } from '../../../snapshotter/index.ts'
import type { RegistryClient } from '../../../registry-client/index.ts'
import {
  familiarName,
  familiarReference,
  parseReference,
  type Reference,
} from '../../../registry-client/oci/index.ts'
import type { StoredImage } from '../../image/image-store.ts'
import type { Command, CommandContext } from '../command.ts'
import { CommandError, UsageError } from '../errors.ts'
import { findImage, normalisedName, shortId, viewImage } from '../image-view.ts'
import { REGISTRY_FLAGS, ROOT_FLAG } from '../request/build-flags.ts'
import { hasTagOrDigest, readReference, REMOTE } from '../request/reference.ts'
import { type CommandServices, noticingRegistries, openServices } from '../services.ts'

export const rmiCommand: Command = {
  name: 'rmi',
  usage: 'rmi [OPTIONS] IMAGE [IMAGE...]',
  description:
    'Removes names of images. An image that loses its last name is gone; its layers stay as cache until tsbuild prune.\n' +
    'docker://NAME:TAG removes a tag from its registry, docker://NAME@DIGEST an image there with all its tags.',
  flags: {
    force: {
      kind: 'boolean',
      short: 'f',
      help: 'Remove all names of an image given by id; missing images are no failure',
    },
    ...REGISTRY_FLAGS,
    ...ROOT_FLAG,
  },
  arguments: { min: 1, max: Infinity },
  run: async (args, context) => {
    const isForced = args.boolean('force') === true
    const remote = args.positionals.filter((text) => text.startsWith(REMOTE)).map(readRemote)
    const local = args.positionals.filter((text) => !text.startsWith(REMOTE))
    if (local.length > 0) {
      await using services = await openServices(args, context)
      for (const text of local) {
        const lines = await removeImage(text, isForced, services, context.signal)
        context.stdout.write(lines.map((line) => `${line}\n`).join(''))
      }
    }
    if (remote.length > 0) {
      await using registries = noticingRegistries(args, context)
      for (const reference of remote) {
        await removeRemote(reference, isForced, await registries.client(), context)
      }
    }
    return 0
  },
}

/** Without `latest` by default: what is removed is said. */
function readRemote(text: string): Reference {
  const name = text.slice(REMOTE.length)
  if (hasTagOrDigest(name)) return readReference(name, 'name')
  throw new UsageError(`invalid name: "${text}" has neither tag nor digest`)
}

async function removeRemote(
  reference: Reference,
  isForced: boolean,
  client: RegistryClient,
  { signal, stdout }: CommandContext,
): Promise<void> {
  try {
    await client.deleteManifest(reference, { signal })
  } catch (error) {
    const code = errnoOf(error)
    if (code === 'not-found' && isForced) return
    if (code !== 'unsupported' || reference.digest !== undefined) throw error
    throw await wholeImageOnly(error, reference, client, signal)
  }
  const what = reference.digest === undefined ? 'Untagged' : 'Deleted'
  stdout.write(`${what}: ${familiarReference(reference)}\n`)
}

/** Many registries remove images with all their tags, and no single tag. */
async function wholeImageOnly(
  cause: unknown,
  reference: Reference,
  client: RegistryClient,
  signal: AbortSignal,
): Promise<unknown> {
  const { digest } = (await client.head(reference, { signal })) ?? {}
  if (digest === undefined || !(cause instanceof Error)) return cause
  const whole = `docker://${familiarName(reference)}@${digest}`
  const hint = `it may remove the image with all its tags, if that is meant: tsbuild rmi ${whole}`
  return new CommandError('not-supported', cause.message, { hint, cause })
}

async function removeImage(
  text: string,
  isForced: boolean,
  services: CommandServices,
  signal: AbortSignal,
): Promise<string[]> {
  const { images } = services
  const found = await findImage(text, images, signal).catch((error: unknown) => {
    if (isForced && errnoOf(error) === 'name-missing') {
      return undefined
    }
    throw error
  })
  if (found === undefined) {
    return []
  }
  const { id } = await viewImage(found, services, signal)
  const same = (await images.list()).filter(({ target }) => target.digest === found.target.digest)
  // By its name only that one goes, by an id all that it is called.
  const removed = found.name === normalisedName(text) ? [found] : same
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

function shownName({ name, target }: StoredImage): string {
  return name === undefined ? target.digest : familiarReference(parseReference(name))
}
