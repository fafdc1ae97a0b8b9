import { createWriteStream } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { reasonOf } from '../../../snapshotter/index.ts'
import type { Command, CommandContext } from '../command.ts'
import { CommandError } from '../errors.ts'
import { importLayout } from '../import-layout.ts'
import { ROOT_FLAG } from '../request/build-flags.ts'
import { type CommandServices, openServices } from '../services.ts'

const LIMITS = { uncompressedSizeBytesMax: 2 ** 40, entryCountMax: 1_000_000 } as const

export const loadCommand: Command = {
  name: 'load',
  usage: 'load [OPTIONS]',
  description:
    'Reads images from an archive of docker save, podman save, skopeo or tsbuild (also compressed), or an OCI layout directory.',
  flags: {
    input: {
      kind: 'text',
      short: 'i',
      value: 'FILE',
      help: 'Archive or layout directory to read (default stdin)',
    },
    quiet: { kind: 'boolean', short: 'q', help: 'Print nothing but names' },
    ...ROOT_FLAG,
  },
  arguments: { min: 0, max: 0 },
  run: async (args, context) => {
    const input = args.text('input')
    if (input === undefined && context.stdin.isTTY === true) {
      throw new CommandError('archive-unreadable', 'could not load from stdin: it is a terminal', {
        hint: 'give -i FILE or redirect stdin',
      })
    }
    await using services = await openServices(args, context)
    const directory = await layoutDirectory(input, services, context)
    const loaded = await importLayout(directory, services, context.signal)
    const prefix = args.boolean('quiet') === true ? '' : 'Loaded image: '
    context.stdout.write(loaded.map((name) => `${prefix}${name}\n`).join(''))
    return 0
  },
}

/** The directory to read: the input itself, or where it was unpacked (gone with the lease). */
async function layoutDirectory(
  input: string | undefined,
  { kernel, store }: CommandServices,
  { cwd, stdin, signal }: CommandContext,
): Promise<string> {
  const path =
    input === undefined || input === '-' ? store.lease.temporaryPath() : resolve(cwd, input)
  if (input === undefined || input === '-') {
    await pipeline(stdin, createWriteStream(path, { flags: 'wx' }), { signal })
  } else {
    const info = await stat(path).catch((error: unknown) => {
      throw new CommandError('archive-unreadable', `could not load ${input}: ${reasonOf(error)}`, {
        cause: error,
      })
    })
    if (info.isDirectory()) {
      return path
    }
  }
  const extractTo = join(store.lease.directory, 'load')
  await mkdir(extractTo)
  const options = {
    compression: 'auto',
    whiteouts: 'plain',
    userXattr: false,
    ownership: 'none',
    entries: 'none',
  } as const
  await kernel.readLayer({ blob: path, extractTo, limits: LIMITS, signal, ...options })
  return extractTo
}
