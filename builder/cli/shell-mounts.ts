import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunMount } from '../../frontend/index.ts'
import { cacheName } from '../ops/cache-mounts.ts'
import type { FailedStep } from '../ops/failed-step.ts'
import type { MountedLayers, MountSource } from '../ops/mountable.ts'
import type { Secrets } from '../ops/secrets.ts'
import { BuildLayer, type LayerStack } from '../solver/layer.ts'
import type { CommandContext } from './command.ts'
import { CommandError } from './errors.ts'

/** Layers of a failed step, which its record keeps in the store. */
export function recordedStack({ title }: FailedStep, diffIds: FailedStep['layers']): LayerStack {
  return diffIds.map((diffId) => BuildLayer.ofRecord(title, { diffId, createdAt: undefined }))
}

/** What the mounts were made of, by the place of the mount in the instruction: `usableMounts` refers to it so. */
export function recordedSources(
  step: FailedStep,
  directories: (stack: LayerStack) => Promise<MountedLayers['directories']>,
): ReadonlyMap<number, MountSource> {
  return new Map(
    step.mounts.map(({ layers, source, initial }, index) => [
      index,
      {
        content: async () => initial ?? '',
        beginning: async () => initial ?? '',
        layers: async (path) => {
          const stack = recordedStack(step, layers ?? [])
          return { source: source ?? path, stack, directories: await directories(stack) }
        },
        writeTo: refuseNewCache,
      },
    ]),
  )
}

/** A cache that a shell began would be without the owner and the content that the Dockerfile gives it. */
export async function refuseNewCache(): Promise<never> {
  throw new CommandError(
    'shell-missing',
    'could not open a shell: a cache mount was removed just now',
    {
      hint: 'try again',
    },
  )
}

/** A mount, and what is to be said when it is not what the step had. */
interface Usable {
  readonly mount: RunMount
  readonly note: string | undefined
}

/** The mounts of the step as far as there is something to mount; `notes` tells of the others. */
export async function usableMounts(
  step: FailedStep,
  secrets: Secrets,
  mountsDirectory: string,
): Promise<{ readonly mounts: readonly RunMount[]; readonly notes: readonly string[] }> {
  const usable: Usable[] = []
  for (const [index, failed] of step.mounts.entries()) {
    usable.push(await usableMount(failed, index, secrets, mountsDirectory))
  }
  return {
    mounts: usable.map(({ mount }) => mount),
    notes: usable.flatMap(({ note }) => (note === undefined ? [] : [note])),
  }
}

async function usableMount(
  { mount, initial }: FailedStep['mounts'][number],
  index: number,
  secrets: Secrets,
  mountsDirectory: string,
): Promise<Usable> {
  switch (mount.type) {
    case 'bind':
      return { mount: { ...mount, from: index }, note: undefined }
    case 'cache': {
      const name = cacheName({ cacheId: mount.cacheId, initial })
      if (await isDirectory(join(mountsDirectory, name, 'fs'))) {
        const from = mount.from === undefined ? undefined : index
        return { mount: { ...mount, from }, note: undefined }
      }
      const { target } = mount
      const note = `the cache mount of ${target} was removed: it is empty here`
      return { mount: { type: 'tmpfs', target, sizeBytes: undefined, isReadonly: false }, note }
    }
    case 'tmpfs':
      return { mount, note: undefined }
    case 'secret': {
      const { secretId: id } = mount
      const isGiven = (await secrets.value(id)) !== undefined
      const note = `secret ${id} is missing: give it with --secret id=${id},src=FILE`
      return { mount: { ...mount, isRequired: false }, note: isGiven ? undefined : note }
    }
    case 'ssh': {
      const { sshId: id } = mount
      const isGiven = (await secrets.agentSocket(id)) !== undefined
      const note = `ssh agent ${id} is missing: give it with --ssh ${id}`
      return { mount: { ...mount, isRequired: false }, note: isGiven ? undefined : note }
    }
    default:
      return mount satisfies never
  }
}

/** Proxies are not kept: their addresses may hold passwords. Those of this environment take their place. */
export function proxyVariables(
  { proxies }: FailedStep,
  env: CommandContext['env'],
): { readonly env: readonly string[]; readonly notes: readonly string[] } {
  const found: string[] = []
  const missing: string[] = []
  for (const name of proxies) {
    const value = env[name] ?? env[name.toLowerCase()] ?? env[name.toUpperCase()]
    if (value === undefined) missing.push(name)
    else found.push(`${name}=${value}`)
  }
  const note = `not set here, though the step had it: ${missing.join(', ')}`
  return { env: found, notes: missing.length === 0 ? [] : [note] }
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false
}
