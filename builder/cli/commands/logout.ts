import type { Command } from '../command.ts'
import { readRegistryName } from '../registry-name.ts'

export const logoutCommand: Command = {
  name: 'logout',
  usage: 'logout [REGISTRY]',
  description: 'Forgets the stored credentials of a registry (default Docker Hub).',
  flags: {},
  arguments: { min: 0, max: 1 },
  run: async (args, { stdout, env, signal }) => {
    const registry = readRegistryName(args.positionals[0])
    const { eraseCredentials } = await import('../../../registry-client/index.ts')
    const wasStored = await eraseCredentials(registry, { env, signal })
    stdout.write(
      wasStored ? `Removed login credentials for ${registry}\n` : `Not logged in to ${registry}\n`,
    )
    return 0
  },
}
