import type { ParsedArgs } from '../args.ts'
import type { Command, CommandContext } from '../command.ts'
import { CommandError, UsageError } from '../errors.ts'
import { ask } from '../prompt.ts'
import { readRegistryName } from '../registry-name.ts'
import { REGISTRY_FLAGS } from '../request/build-flags.ts'
import { Registries } from '../services.ts'
import { stdinChunks } from '../stdin-chunks.ts'

/** A password longer than this is a file by mistake. */
const PASSWORD_BYTES_MAX = 64 * 1024

export const loginCommand: Command = {
  name: 'login',
  usage: 'login [OPTIONS] [REGISTRY]',
  description:
    'Checks a user name and password with a registry (default Docker Hub) and stores them where docker keeps them:\n' +
    'with the credential helper of ~/.docker/config.json, or in that file.',
  flags: {
    username: { kind: 'text', short: 'u', value: 'NAME', help: 'User name' },
    password: {
      kind: 'text',
      short: 'p',
      value: 'PASSWORD',
      help: 'Password; others can see it in the list of processes',
    },
    'password-stdin': { kind: 'boolean', help: 'Read the password from stdin' },
    ...REGISTRY_FLAGS,
  },
  arguments: { min: 0, max: 1 },
  run: async (args, context) => {
    const registry = readRegistryName(args.positionals[0])
    const { username, password } = await readAccount(args, context)
    const { storeCredentials } = await import('../../../registry-client/index.ts')
    await using registries = new Registries(args, context, (text) =>
      context.stderr.write(`NOTE: ${text}\n`),
    )
    const credentials = { kind: 'password', username, password } as const
    await (await registries.client()).checkCredentials(registry, credentials, {
      signal: context.signal,
    })
    const stored = await storeCredentials(registry, credentials, {
      env: context.env,
      signal: context.signal,
    })
    if (stored.kind === 'file') {
      context.stderr.write(
        `WARNING: the password is stored unencrypted in ${stored.path}; a credential helper avoids this\n`,
      )
    }
    context.stdout.write('Login Succeeded\n')
    return 0
  },
}

async function readAccount(
  args: ParsedArgs,
  context: CommandContext,
): Promise<{ username: string; password: string }> {
  const isFromStdin = args.boolean('password-stdin') === true
  const given = args.text('password')
  if (isFromStdin && given !== undefined) {
    throw new UsageError('--password and --password-stdin cannot be used together')
  }
  if (isFromStdin && args.text('username') === undefined) {
    throw new UsageError('--password-stdin needs --username')
  }
  const username = args.text('username') ?? (await ask('Username: ', { isHidden: false }, context))
  if (username === '') {
    throw new UsageError('the user name is missing: give --username')
  }
  if (given !== undefined) {
    context.stderr.write(
      'WARNING: --password shows the password to others on this machine; use --password-stdin\n',
    )
  }
  if (username.includes(':')) {
    throw new UsageError('the user name has a colon, which HTTP takes for its end')
  }
  const password = isFromStdin
    ? await readAll(context)
    : (given ?? (await ask('Password: ', { isHidden: true }, context)))
  if (password === '') {
    throw new CommandError('login-failed', 'could not log in: the password is empty')
  }
  return { username, password }
}

/** All of stdin without its last line end. */
async function readAll({ stdin, signal }: CommandContext): Promise<string> {
  const parts: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of stdinChunks(stdin, signal)) {
    parts.push(chunk)
    sizeBytes += chunk.length
    if (sizeBytes > PASSWORD_BYTES_MAX) {
      throw new CommandError(
        'login-failed',
        `could not log in: stdin has more than ${PASSWORD_BYTES_MAX} bytes, which is no password`,
      )
    }
  }
  return Buffer.concat(parts)
    .toString('utf8')
    .replace(/\r?\n$/, '')
}
