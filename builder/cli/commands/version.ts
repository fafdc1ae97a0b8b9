import { readFile } from 'node:fs/promises'
import { arch, platform, release } from 'node:os'
import type { Command } from '../command.ts'
import { UsageError } from '../errors.ts'

export const versionCommand: Command = {
  name: 'version',
  usage: 'version [OPTIONS]',
  description: 'Shows the versions of tsbuild and of what it runs on.',
  flags: { format: { kind: 'text', value: 'FORMAT', help: 'json: print one JSON object' } },
  arguments: { min: 0, max: 0 },
  run: async (args, { stdout }) => {
    const format = args.text('format')
    if (format !== undefined && format !== 'json') {
      throw new UsageError(`unknown format "${format}": version knows json`)
    }
    const facts = {
      version: await packageVersion(),
      node: process.versions.node,
      platform: `${platform()}/${arch()}`,
      kernel: release(),
    }
    stdout.write(
      format === 'json'
        ? `${JSON.stringify(facts)}\n`
        : `tsbuild ${facts.version} (node ${facts.node}, ${facts.platform}, kernel ${facts.kernel})\n`,
    )
    return 0
  },
}

/** `version` of the package.json that this file belongs to: the nearest one above. */
export async function packageVersion(): Promise<string> {
  for (let directory = new URL('.', import.meta.url); ; directory = new URL('..', directory)) {
    try {
      const json: unknown = JSON.parse(await readFile(new URL('package.json', directory), 'utf8'))
      if (typeof json === 'object' && json !== null && 'version' in json) {
        return String(json.version)
      }
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) {
        throw error
      }
    }
    if (directory.pathname === '/') {
      return 'unknown'
    }
  }
}
