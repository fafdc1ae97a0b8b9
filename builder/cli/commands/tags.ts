import { familiarName } from '../../../registry-client/oci/index.ts'
import type { Command } from '../command.ts'
import { UsageError } from '../errors.ts'
import { REGISTRY_FLAGS } from '../request/build-flags.ts'
import { hasTagOrDigest, readRemoteReference } from '../request/reference.ts'
import { noticingRegistries } from '../services.ts'

export const tagsCommand: Command = {
  name: 'tags',
  usage: 'tags [OPTIONS] NAME',
  description: 'Lists the tags of a repository in its registry, one a line.',
  flags: { ...REGISTRY_FLAGS },
  arguments: { min: 1, max: 1 },
  run: async (args, context) => {
    const [text = ''] = args.positionals
    const reference = readRemoteReference(text, 'name')
    if (hasTagOrDigest(text)) {
      throw new UsageError(`invalid name: "${text}" is one image; give ${familiarName(reference)}`)
    }
    await using registries = noticingRegistries(args, context)
    const client = await registries.client()
    const tags = await client.listTags(reference, { signal: context.signal })
    context.stdout.write(tags.map((tag) => `${tag}\n`).join(''))
    return 0
  },
}
