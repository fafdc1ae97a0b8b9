import {
  bestPlatform,
  type ContainerConfig,
  formatPlatform,
  type Platform,
} from '../../registry-client/oci/index.ts'
import { errnoOf, type LayerDirectory } from '../../snapshotter/index.ts'
import { LayerFetcher } from '../ops/fetch-layer.ts'
import { ImageResolver } from '../ops/image.ts'
import { LayerAccess } from '../ops/layer-access.ts'
import { LazyWorker } from '../ops/lazy-worker.ts'
import { readLayerContents } from '../ops/read-contents.ts'
import type { BuildRequest } from '../request.ts'
import { BuildLayer, type LayerStack } from '../solver/layer.ts'
import { createLimits } from '../solver/limits.ts'
import { startWorker } from '../worker/start-worker.ts'
import type { RunRequest, Worker } from '../worker/protocol.ts'
import type { ParsedArgs } from './args.ts'
import type { CommandContext } from './command.ts'
import { CommandError } from './errors.ts'
import { findImage, shortId } from './image-view.ts'
import type { Volume } from './request/volumes.ts'
import { type CommandServices, openServices } from './services.ts'
import { storedResult } from './stored-result.ts'
import { type MovingServices, withProgress } from './with-progress.ts'

const SHM_BYTES_DEFAULT = 64 * 1024 * 1024

/** What `run` is asked for. */
export interface RunImageOptions {
  readonly image: string
  readonly command: readonly string[]
  readonly entrypoint: string | undefined
  /** `NAME=value`; over those of the image. */
  readonly env: readonly string[]
  readonly workdir: string | undefined
  readonly user: string | undefined
  readonly hasStdin: boolean
  readonly hasTerminal: boolean
  readonly network: BuildRequest['network']
  readonly platform: Platform | undefined
  readonly volumes: readonly Volume[]
  readonly extraHosts: BuildRequest['extraHosts']
  readonly ulimits: BuildRequest['ulimits']
  readonly shmSizeBytes: number | undefined
}

/** Runs a command over the layers of an image, which is pulled when it is not in the store; resolves to its exit status. */
export async function runImage(
  options: RunImageOptions,
  args: ParsedArgs,
  context: CommandContext,
): Promise<number> {
  const { signal, stdout, stderr } = context
  await using services = await openServices(args, context)
  const notices: string[] = []
  const start = (inner: AbortSignal): Promise<Worker> =>
    startWorker(
      { store: services.store, writable: options.volumes.map(({ directory }) => directory) },
      inner,
    )
  await using lazy = new LazyWorker(
    start,
    ({ info }) => void (info.notice !== undefined && notices.push(info.notice)),
  )
  const prepared = await withProgress(args, context, (moving) =>
    prepare(options, services, moving, lazy, signal),
  )
  const worker = await lazy.get(signal)
  if (args.boolean('quiet') !== true) {
    stderr.write(notices.map((text) => `NOTE: ${text}\n`).join(''))
  }
  const request = runRequest(options, prepared)
  const result = await worker.run(
    request,
    (stream, bytes) => (stream === 'stdout' ? stdout : stderr).write(bytes),
    signal,
  )
  signal.throwIfAborted()
  if (result.isOutOfMemory) {
    stderr.write('NOTE: the command was killed because memory ran out\n')
  }
  return result.exitCode
}

interface Prepared {
  readonly id: string
  readonly config: ContainerConfig
  readonly layers: RunRequest['layers']
}

/** Finds or pulls the image and unpacks its layers. */
async function prepare(
  options: RunImageOptions,
  services: CommandServices,
  { steps, registries }: MovingServices,
  worker: LazyWorker,
  signal: AbortSignal,
): Promise<Prepared> {
  const { store, kernel, images } = services
  const limits = createLimits(1)
  const registry = (): ReturnType<typeof registries.client> => registries.client()
  const stored = await findImage(options.image, images, signal).catch(async (error: unknown) => {
    if (options.platform === undefined || errnoOf(error) !== 'name-missing') {
      throw error
    }
    const resolver = new ImageResolver({
      images,
      blobs: store.blobs,
      registry,
      limits,
      steps,
      isForBuild: false,
      isPullForced: false,
      nowMs: Date.now,
    })
    const { reference } = await resolver.resolve(options.image, options.platform, signal)
    return await findImage(reference, images, signal)
  })
  const { result } = await storedResult(stored, services, signal)
  const image =
    options.platform === undefined
      ? result.images[0]
      : (bestPlatform(options.platform, result.images) ?? undefined)
  if (image === undefined) {
    const known = result.images.map(({ platform }) => formatPlatform(platform)).join(', ')
    throw new CommandError('image-missing', `could not run ${options.image}: it is for ${known}`, {
      hint: 'give --platform',
    })
  }
  const fetcher = new LayerFetcher({ store, registry, limits, steps })
  const openLayers = (): LayerAccess =>
    new LayerAccess({
      steps,
      store,
      limits,
      worker: () => worker.get(signal),
      fetchBlob: (layer, inner, onArrival) => fetcher.fetch(layer, inner, onArrival),
      readContents: (path, layer, blob, inner) =>
        readLayerContents(path, layer, blob, { store, kernel }, inner),
    })
  const stack = image.layers.map(({ diffId, descriptor, origins }) =>
    BuildLayer.ofBase(options.image, diffId, { descriptor, origins, file: undefined }),
  )
  return {
    id: image.configDescriptor.digest,
    config: image.config.config,
    layers: await unpacked(stack, openLayers, signal),
  }
}

/** The layers unpacked. A blob that is damaged on disk is removed, and fetched again where that can be done. */
async function unpacked(
  stack: LayerStack,
  openLayers: () => LayerAccess,
  signal: AbortSignal,
): Promise<LayerDirectory[]> {
  const access = openLayers()
  try {
    return await access.directories(stack, signal)
  } catch (error) {
    signal.throwIfAborted()
    if ((await access.removeDamaged(signal)).length === 0) throw error
    return await openLayers().directories(stack, signal)
  }
}

function runRequest(options: RunImageOptions, { id, config, layers }: Prepared): RunRequest {
  return {
    layers,
    args: commandOf(options, config),
    env: [...(config.Env ?? []), ...(options.hasTerminal ? ['TERM=xterm'] : []), ...options.env],
    cwd: options.workdir ?? (config.WorkingDir || '/'),
    user: options.user ?? config.User ?? '',
    hostname: shortId(id),
    network: options.network,
    security: 'sandbox',
    mounts: options.volumes.map((volume) => ({ type: 'directory' as const, ...volume })),
    extraHosts: options.extraHosts,
    ulimits: options.ulimits,
    shmSizeBytes: options.shmSizeBytes ?? SHM_BYTES_DEFAULT,
    cgroupParent: undefined,
    limits: {},
    stdio: options.hasTerminal ? 'terminal' : options.hasStdin ? 'inherited' : 'captured',
    commitTo: undefined,
  }
}

/** As docker combines them: an own entrypoint drops the image's CMD, own arguments replace it. */
function commandOf(
  { image, command, entrypoint }: RunImageOptions,
  config: ContainerConfig,
): readonly string[] {
  if (entrypoint !== undefined && entrypoint !== '') {
    return [entrypoint, ...command]
  }
  const own = entrypoint === undefined ? (config.Entrypoint ?? []) : []
  const args = [
    ...own,
    ...(command.length > 0 ? command : entrypoint === undefined ? (config.Cmd ?? []) : []),
  ]
  if (args.length === 0) {
    throw new CommandError(
      'image-missing',
      `could not run ${image}: no command was given and the image has none`,
    )
  }
  return args
}
