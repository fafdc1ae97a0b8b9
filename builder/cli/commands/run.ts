import type { ParsedArgs } from '../args.ts'
import type { Command, CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { runImage } from '../run-image.ts'
import { REGISTRY_FLAGS, ROOT_FLAG } from '../request/build-flags.ts'
import { readExtraHosts, readNetwork, readUlimits } from '../request/limits.ts'
import { readBuildArgs } from '../request/pairs.ts'
import { readPlatforms } from '../request/platform.ts'
import { readShmSizeBytes } from '../request/size.ts'
import { readVolumes } from '../request/volumes.ts'

export const runCommand: Command = {
  name: 'run',
  usage: 'run [OPTIONS] IMAGE [COMMAND] [ARG...]',
  description:
    'Runs a command in an image, in the sandbox that RUN steps have. It is for trying an image: what it writes is thrown\n' +
    'away. Exits with the status of the command.',
  flags: {
    'add-host': { kind: 'list', value: 'HOST=IP', help: 'Line for /etc/hosts' },
    entrypoint: {
      kind: 'text',
      value: 'PROGRAM',
      help: "Program to run instead of the image's ENTRYPOINT",
    },
    env: {
      kind: 'list',
      short: 'e',
      value: 'K[=V]',
      help: 'Environment variable; without =V that of the environment',
    },
    interactive: { kind: 'boolean', short: 'i', help: 'Give stdin to the command' },
    network: { kind: 'text', value: 'MODE', help: 'default, none, host' },
    platform: { kind: 'text', value: 'OS/ARCH', help: 'Platform of the image' },
    quiet: { kind: 'boolean', short: 'q', help: 'No progress of pulling and unpacking' },
    rm: { kind: 'boolean', help: 'Accepted: nothing is kept in any case' },
    'shm-size': { kind: 'text', value: 'BYTES', help: 'Size of /dev/shm' },
    tty: { kind: 'boolean', short: 't', help: 'Give the command a terminal' },
    ulimit: { kind: 'list', value: 'NAME=SOFT[:HARD]', help: 'Limit' },
    user: { kind: 'text', short: 'u', value: 'USER[:GROUP]', help: 'User to run as' },
    volume: {
      kind: 'list',
      short: 'v',
      value: 'HOST:PATH[:ro]',
      help: 'Directory or file of this machine to show in the image',
    },
    workdir: { kind: 'text', short: 'w', value: 'DIR', help: 'Working directory' },
    ...REGISTRY_FLAGS,
    ...ROOT_FLAG,
  },
  arguments: { min: 1, max: Infinity },
  parsing: { stopAtArgument: true },
  run: async (args, context) => runImage(await readRunOptions(args, context), args, context),
}

function absolutePath(path: string | undefined, flag: string): string | undefined {
  if (path === undefined || path === '' || path.startsWith('/')) return path || undefined
  throw new UsageError(
    `invalid argument "${path}" for "--${flag}" flag: it must be an absolute path`,
  )
}

async function readRunOptions(
  args: ParsedArgs,
  { env, cwd }: CommandContext,
): Promise<Parameters<typeof runImage>[0]> {
  const [image = '', ...command] = args.positionals
  const platform = args.text('platform')
  return {
    image,
    command,
    entrypoint: args.text('entrypoint'),
    env: [...readBuildArgs(args.list('env'), env)].map(([key, value]) => `${key}=${value}`),
    workdir: absolutePath(args.text('workdir'), 'workdir'),
    user: args.text('user'),
    hasStdin: args.boolean('interactive') ?? false,
    hasTerminal: args.boolean('tty') ?? false,
    network: readNetwork(args.text('network')),
    platform: readPlatforms(platform ? [platform] : []).platforms[0],
    volumes: await readVolumes(args.list('volume'), cwd),
    extraHosts: readExtraHosts(args.list('add-host')),
    ulimits: readUlimits(args.list('ulimit')),
    shmSizeBytes: readShmSizeBytes(args.text('shm-size')),
  }
}
