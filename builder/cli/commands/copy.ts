import { resolve } from 'node:path'
import type { CopySource, RegistryClient } from '../../../registry-client/index.ts'
import {
  type Descriptor,
  familiarReference,
  type ManifestBytes,
  type Platform,
  type Reference,
} from '../../../registry-client/oci/index.ts'
import { kernel } from '../../../snapshotter/index.ts'
import type { Step } from '../../solver/steps.ts'
import type { Command, CommandContext } from '../command.ts'
import type { NamedSource } from '../combined-source.ts'
import { UsageError } from '../errors.ts'
import { layoutCopySource } from '../layout-copy-source.ts'
import { REGISTRY_FLAGS } from '../request/build-flags.ts'
import { readPlatform } from '../request/platform.ts'
import { readRemoteReference } from '../request/reference.ts'
import { withProgress } from '../with-progress.ts'

/** Printers show a rate; more events than this a second only cost time. */
const PROGRESS_INTERVAL_MS = 100

export const copyCommand: Command = {
  name: 'copy',
  usage: 'copy [OPTIONS] SOURCE [SOURCE...] NAME[:TAG]',
  description:
    'Copies an image to a registry as it is, with all its platforms: digests stay, what is there is not sent again.\n' +
    'SOURCE is a name in a registry, or oci-layout://DIR[:TAG] for a layout directory. Nothing is stored here.\n' +
    'Several sources, such as images that were built on machines of their own, become one image for all platforms.',
  flags: {
    platform: {
      kind: 'text',
      value: 'OS/ARCH',
      help: 'Copy only the image of this platform (default: all of them)',
    },
    referrers: {
      kind: 'boolean',
      help: 'Copy also what refers to the image: signatures, attestations, SBOMs',
    },
    quiet: { kind: 'boolean', short: 'q', help: 'No progress' },
    ...REGISTRY_FLAGS,
  },
  arguments: { min: 2, max: Infinity },
  run: async (args, context) => {
    const texts = args.positionals.slice(0, -1)
    const target = readTarget(args.positionals.at(-1) ?? '')
    const platformText = args.text('platform')
    const platform = platformText === undefined ? undefined : readPlatform(platformText)
    if (platform !== undefined && texts.length > 1) {
      throw new UsageError('--platform takes an image out of one source, not of several')
    }
    const open = texts.map((text) => readSource(text, context))
    const root = await withProgress(args, context, async ({ steps, registries }) => {
      const client = await registries.client()
      const title = `copying ${texts.join(', ')} to ${familiarReference(target)}`
      const withReferrers = args.boolean('referrers') === true
      const sources = open.map((one, index) => ({ name: texts[index] ?? '', source: one(client) }))
      const source = await sourceOf(sources)
      return await steps.during(title, context.signal, (step) =>
        copy(client, source, { target, platform, withReferrers, step, context }),
      )
    })
    const name = target.tag ?? familiarReference(target)
    context.stdout.write(`${name}: digest: ${root.digest} size: ${root.bytes.byteLength}\n`)
    return 0
  },
}

async function sourceOf(sources: readonly NamedSource[]): Promise<CopySource> {
  const [first, ...others] = sources
  if (first !== undefined && others.length === 0) return first.source
  return new (await import('../combined-source.ts')).CombinedSource(sources)
}

async function copy(
  client: RegistryClient,
  source: CopySource,
  options: {
    readonly target: Reference
    readonly platform: Platform | undefined
    readonly withReferrers: boolean
    readonly step: Step
    readonly context: CommandContext
  },
): Promise<ManifestBytes> {
  const { target, platform, withReferrers, step, context } = options
  let toldMs = 0
  return await client.copy(source, target, {
    signal: context.signal,
    ...(platform === undefined ? {} : { platform }),
    withReferrers,
    onReferrer: (referrer) =>
      step.progress(`referrer ${partOf(referrer)}`, {
        currentBytes: 0,
        totalBytes: undefined,
        isDone: true,
      }),
    onProgress: (blob, currentBytes) => {
      const nowMs = performance.now()
      if (nowMs - toldMs < PROGRESS_INTERVAL_MS) {
        return
      }
      toldMs = nowMs
      step.progress(partOf(blob), { currentBytes, totalBytes: blob.sizeBytes, isDone: false })
    },
    onBlob: (blob, result) => {
      const moved = result.kind === 'uploaded' ? blob.sizeBytes : 0
      step.progress(partOf(blob), {
        currentBytes: moved,
        totalBytes: moved === 0 ? undefined : moved,
        isDone: true,
        ...(result.kind === 'existing' ? { note: 'already exists' } : {}),
        ...(result.kind === 'mounted' ? { note: `mounted from ${result.from}` } : {}),
      })
    },
  })
}

function partOf({ digest }: Pick<Descriptor, 'digest'>): string {
  return digest.slice(0, 'sha256:'.length + 12)
}

/** A layout directory, or a name in a registry with or without `docker://`. */
function readSource(text: string, { cwd }: CommandContext): (client: RegistryClient) => CopySource {
  const layout = /^(?:oci-layout:\/\/|oci:)(.+)$/s.exec(text)?.[1]
  if (layout === undefined) {
    const reference = readRemoteReference(text, 'source')
    return (client) => client.repositorySource(reference)
  }
  // The name of an entry comes after the last part of the path: `dir:tag`, `dir@sha256:…`.
  const [, path = layout, reference] =
    /^(.+?)(?:@(sha256:[a-f0-9]{64})|:([^/:]+))$/s
      .exec(layout)
      ?.filter((part) => part !== undefined) ?? []
  return () => layoutCopySource({ path: resolve(cwd, path), reference }, kernel)
}

function readTarget(text: string): Reference {
  const reference = readRemoteReference(text, 'target')
  if (reference.digest === undefined) {
    return { ...reference, tag: reference.tag ?? 'latest' }
  }
  throw new UsageError(`invalid target: "${text}" has a digest; a copy is given a tag`)
}
