import type { Command } from '../command.ts'
import { findImage } from '../image-view.ts'
import { ROOT_FLAG } from '../request/build-flags.ts'
import { readTag } from '../request/reference.ts'
import { openServices } from '../services.ts'

export const tagCommand: Command = {
  name: 'tag',
  usage: 'tag SOURCE TARGET',
  description: 'Gives an image another name. An image that had the name before loses it.',
  flags: { ...ROOT_FLAG },
  arguments: { min: 2, max: 2 },
  run: async (args, context) => {
    const [source = '', target = ''] = args.positionals
    const name = readTag(target, 'target name')
    await using services = await openServices(args, context)
    const image = await findImage(source, services.images, context.signal)
    await services.images.put(
      { ...image, name, storedAt: new Date().toISOString(), isBase: false },
      context.signal,
    )
    return 0
  },
}
