import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CommandLine } from './command.ts'
import { commandOutput } from './command-output.ts'
import type { BenchOptions } from './options.ts'
import type { Output } from './workloads.ts'

export interface BuildTask {
  readonly context: string
  readonly name: string
  readonly output: Output
  readonly noCache: boolean
}

/** A program that builds images, as the comparison calls it. */
export interface Builder {
  readonly id: 'tsbuild' | 'buildkit' | 'buildah'
  /** Name and version, for the report. */
  readonly title: string
  build(task: BuildTask): CommandLine
  readonly prune: CommandLine
  /** Names of processes outside the command that work for it. */
  readonly daemons: readonly string[]
}

const MAIN = fileURLToPath(new URL('../builder/cli/main.js', import.meta.url))

/** Ours, and the peers that this machine has. */
export function findBuilders(options: BenchOptions): Builder[] {
  const builders = [tsbuild(options)]
  if (options.dockerHost !== undefined) {
    builders.push(buildkit(options, options.dockerHost))
  }
  if (isOnPath('buildah')) {
    builders.push(buildah(options))
  }
  return builders.filter(({ id }) => options.builders.length === 0 || options.builders.includes(id))
}

function tsbuild(options: BenchOptions): Builder {
  const env = { TSBUILD_ROOT: join(options.data, 'root') }
  const program = [process.execPath, MAIN]
  return {
    id: 'tsbuild',
    title: `tsbuild, Node ${process.versions.node}`,
    build: ({ context, name, output, noCache }) => ({
      argv: [
        ...program,
        ...['build', '--progress', 'quiet', ...outputFlags(output, name, options)],
        ...(noCache ? ['--no-cache'] : []),
        context,
      ],
      env,
    }),
    prune: { argv: [...program, 'prune', '-af'], env },
    daemons: [],
  }
}

function buildkit(options: BenchOptions, dockerHost: string): Builder {
  const env = { DOCKER_HOST: dockerHost }
  const { buildx, network } = options
  const version = commandOutput([...buildx, 'version'], env).split(' ')[1] ?? ''
  return {
    id: 'buildkit',
    title: `Docker with BuildKit, buildx ${version}`,
    build: ({ context, name, output, noCache }) => ({
      argv: [
        ...buildx,
        ...['build', '--progress', 'quiet', '--provenance=false', '--network', network],
        ...outputFlags(output, name, options),
        ...(noCache ? ['--no-cache'] : []),
        context,
      ],
      env,
    }),
    prune: { argv: [...buildx, 'prune', '-af'], env },
    daemons: ['dockerd', 'containerd', 'buildkitd'],
  }
}

/** Building and pushing are two commands of its; it keeps every result in its store. */
function buildah({ registry }: BenchOptions): Builder {
  const program = ['buildah', 'bud', '-q', '--layers', '--isolation', 'chroot']
  const pushFlags: Record<Exclude<Output, 'store' | 'nowhere'>, readonly string[]> = {
    push: [],
    'push-zstd': ['--compression-format', 'zstd', '--force-compression'],
  }
  return {
    id: 'buildah',
    title: commandOutput(['buildah', '--version'], {}).replace(/ \(.*/, '').trim(),
    build: ({ context, name, output, noCache }) => {
      const build = [...program, '-t', name, ...(noCache ? ['--no-cache'] : []), context]
      if (output === 'store' || output === 'nowhere') return { argv: build, env: {} }
      const flags = ['-q', '--tls-verify=false', ...pushFlags[output]]
      const push = ['buildah', 'push', ...flags, name, `docker://${registry}/${name}`]
      return { argv: ['sh', '-c', `${build.join(' ')} && ${push.join(' ')}`], env: {} }
    },
    prune: { argv: ['buildah', 'rmi', '-a', '-f'], env: {} },
    daemons: [],
  }
}

function outputFlags(output: Output, name: string, { registry }: BenchOptions): string[] {
  if (output === 'store') {
    return ['-t', name]
  }
  if (output === 'nowhere') {
    return ['--output', 'type=cacheonly']
  }
  const zstd =
    output === 'push' ? '' : ',compression=zstd,oci-mediatypes=true,force-compression=true'
  return ['--output', `type=image,name=${registry}/${name},push=true${zstd}`]
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
