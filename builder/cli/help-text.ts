import type { FlagSpec } from './args.ts'
import type { Command, CommandEntry } from './command.ts'

/** The screen that `tsbuild` alone shows: what it is, every command, where to read on. */
export function renderMainHelp(commands: readonly CommandEntry[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length))
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`)
  return `Usage:  tsbuild [build] [OPTIONS] PATH | URL | -
        tsbuild COMMAND

Builds container images from Dockerfiles. One process, no daemon, root or rootless.

Commands:
${lines.join('\n')}

Examples:
  tsbuild -t app:v1 .                              build into the local image store
  tsbuild -t registry.example/app:v1 --push .      build and push
  tsbuild -o out --target bin .                    build and write the files to ./out
  tsbuild run --rm -it app:v1 sh                   look around in the result

State is kept below --root or $TSBUILD_ROOT; 'tsbuild prune' frees space.
Run 'tsbuild COMMAND --help' for the options of a command.
`
}

/** `tsbuild COMMAND --help`. Flags without a help text are for compatibility and not shown. */
export function renderCommandHelp(command: Command): string {
  const rows = Object.entries(command.flags)
    .filter(([, spec]) => spec.help !== undefined)
    .map(([name, spec]) => [flagLabel(name, spec), spec.help ?? ''] as const)
  const width = Math.max(0, ...rows.map(([label]) => label.length))
  const options = rows.map(([label, help]) => `  ${label.padEnd(width)}  ${help}`)
  const sections = [`Usage:  tsbuild ${command.usage}`, command.description]
  if (options.length > 0) {
    sections.push(`Options:\n${options.join('\n')}`)
  }
  return `${sections.join('\n\n')}\n`
}

function flagLabel(name: string, spec: FlagSpec): string {
  const short = spec.short === undefined ? '    ' : `-${spec.short}, `
  const value = spec.kind === 'boolean' ? '' : ` ${spec.value ?? 'VALUE'}`
  return `${short}--${name}${value}`
}
