import { join } from 'node:path'
import { BuildExports } from './build-exports.ts'
import type { BuildServices } from './build-services.ts'
import type { CacheJournal } from './cache/journal.ts'
import {
  CacheRecords,
  readAliasRecord,
  readPositionRecord,
  readStepRecord,
} from './cache/records.ts'
import { cachePlace } from './cache/remote/cache-places.ts'
import { RemoteCaches } from './cache/remote/remote-caches.ts'
import { LocatedContexts } from './context/located-contexts.ts'
import { CacheMounts } from './ops/cache-mounts.ts'
import { StepCache } from './ops/cached-step.ts'
import { readClampRecord } from './ops/clamp-layer.ts'
import { LayerFetcher } from './ops/fetch-layer.ts'
import type { GraphExecutorParts } from './ops/graph-executor.ts'
import { ImageResolver } from './ops/image.ts'
import { LayerAccess } from './ops/layer-access.ts'
import type { BaseView } from './ops/base-view.ts'
import { accountFiles } from './ops/layer-file.ts'
import { LayerVariants } from './ops/layer-variant.ts'
import { LazyWorker } from './ops/lazy-worker.ts'
import { writeEntries } from './ops/mount-source.ts'
import { readLayerContents } from './ops/read-contents.ts'
import { Secrets } from './ops/secrets.ts'
import { StackTree } from './ops/stack-tree.ts'
import { EntryFile } from '../snapshotter/index.ts'
import type { BuildRequest, LayerFormat } from './request.ts'
import type { KeyValue } from './solver/canonical.ts'
import { type LayerStack, packedDiffIds } from './solver/layer.ts'
import { createLimits, type Limits } from './solver/limits.ts'
import { readLogLimits } from './solver/log-limits.ts'
import { StepReporter } from './solver/steps.ts'
import type { FirstUse } from './worker/protocol.ts'

/** What one build has while it runs; disposing it ends the worker. */
export class BuildSession implements AsyncDisposable {
  readonly request: BuildRequest
  readonly services: BuildServices
  readonly steps: StepReporter
  readonly contexts: LocatedContexts
  readonly resolver: ImageResolver
  /** `--cache-from`; undefined when there is none. */
  readonly remoteCaches: RemoteCaches | undefined
  readonly #limits: Limits
  readonly #worker: LazyWorker
  readonly #fetcher: LayerFetcher
  readonly #secrets: Secrets
  readonly #nowMs: () => number

  constructor(request: BuildRequest, services: BuildServices) {
    const { store, kernel, signal } = services
    this.request = request
    this.services = services
    this.steps = openReporter(services)
    this.#nowMs = services.nowMs ?? Date.now
    this.#limits = createLimits(request.parallelStepsMax)
    this.#worker = new LazyWorker(services.startWorker, ({ info }) => {
      if (info.notice !== undefined) {
        this.steps.notice(info.notice)
      }
    })
    const shared = { store, limits: this.#limits, steps: this.steps, registry: services.registry }
    this.#fetcher = new LayerFetcher(shared)
    this.resolver = new ImageResolver({
      ...shared,
      images: services.images,
      blobs: store.blobs,
      isForBuild: true,
      isPullForced: request.pull,
      nowMs: this.#nowMs,
    })
    this.remoteCaches = openRemoteCaches(this.steps, request, services)
    this.#secrets = new Secrets(request, services.env, () => store.lease.temporaryPath())
    this.contexts = new LocatedContexts(request, {
      kernel,
      contextsDirectory: store.root.contextsDir,
      workDirectory: store.lease.directory,
      temporaryPath: (kind) => store.lease.temporaryPath(kind),
      env: services.env,
      readSecret: (id) => this.#secrets.value(id),
      sshAgent: () => this.#secrets.agentSocket('default'),
      signal,
    })
  }

  /** The layers of one try at the graph: what another try was stopped at, or found damaged, is not shared. */
  openLayers(): LayerAccess {
    const { store, kernel, signal } = this.services
    return new LayerAccess({
      store,
      limits: this.#limits,
      steps: this.steps,
      worker: () => this.#worker.get(signal),
      fetchBlob: (layer, inner, onArrival) => this.#fetcher.fetch(layer, inner, onArrival),
      readContents: (path, layer, blob, inner) =>
        readLayerContents(path, layer, blob, { store, kernel }, inner),
    })
  }

  openExports(access: LayerAccess, epochSec: number | undefined): BuildExports {
    const { store, kernel, signal } = this.services
    return new BuildExports({
      request: this.request,
      exporters: this.services.exporters,
      store,
      access,
      variants: new LayerVariants({
        store,
        kernel,
        limits: this.#limits,
        access,
        worker: () => this.#worker.get(signal),
        clamps: store.records(join(store.root.cacheDir, 'clamps'), readClampRecord),
      }),
      resolver: this.resolver,
      steps: this.steps,
      epochSec,
    })
  }

  /** What the command line adds to every RUN, for definition keys. */
  get runOptionsKey(): KeyValue {
    const { network, extraHosts, ulimits, shmSizeBytes, cgroupParent } = this.request
    return {
      network,
      extraHosts: extraHosts.map(({ name, address }) => [name, address]),
      ulimits: ulimits.map(({ name, soft, hard }) => [name, soft, hard]),
      shmSizeBytes,
      cgroupParent,
    }
  }

  executorParts(run: {
    readonly access: LayerAccess
    readonly format: LayerFormat
    readonly signal: AbortSignal
    readonly background: (work: Promise<unknown>) => void
    readonly isReadByRun: GraphExecutorParts['isReadByRun']
    readonly takenFrom: GraphExecutorParts['takenFrom']
    readonly located: GraphExecutorParts['located']
    readonly project: string
    readonly journal: CacheJournal
    readonly allowsNamesOnly: boolean
  }): GraphExecutorParts {
    const { store, kernel } = this.services
    const { journal, allowsNamesOnly } = run
    const records = this.#openRecords()
    const remote = this.remoteCaches
    // Not with `run.signal`: when the graph is solved a second time, the worker is the same.
    const { signal } = this.services
    const worker = (): ReturnType<LazyWorker['get']> => this.#worker.get(signal)
    const { access } = run
    const layerFiles = { store, access, worker }
    const copyParts = {
      store,
      kernel,
      worker,
      limits: this.#limits,
      format: run.format,
      records,
      remote,
      journal,
      cache: new StepCache({
        records,
        remote,
        allowsNamesOnly,
        journal,
        layers: store.layers,
        locks: store.locks,
        steps: this.steps,
        background: run.background,
      }),
      openStack: stackOpener(access, run.signal),
      accounts: (view: BaseView) => accountFiles(view, layerFiles, run.signal),
      workerFor: (use: FirstUse) => this.#worker.get(signal, use),
      packSignal: signal,
      background: run.background,
      takenFrom: run.takenFrom,
      located: run.located,
      nowMs: this.#nowMs,
      access,
    }
    return {
      ...copyParts,
      options: this.request,
      mounts: {
        secrets: this.#secrets,
        cacheMounts: new CacheMounts(store),
        makeOwned: async (directory, owner, signal) => {
          const root = { type: 'dir', path: '', mtimeSec: 0, ...owner } as const
          await using entries = await EntryFile.of(() => store.lease.temporaryPath(), [[root]])
          await writeEntries(entries, directory, copyParts, signal)
        },
      },
      failedSteps: this.services.failedSteps,
      now: () => new Date(this.#nowMs()).toISOString(),
      resolver: this.resolver,
      steps: this.steps,
      openContext: (name, inner) => this.contexts.open(name, inner),
      contextTitle: (name) => this.contexts.title(name),
      openHttp: (node, inner) => this.contexts.openHttp(node, inner),
      openGit: (node, inner) => this.contexts.openGit(node, inner),
      isReadByRun: run.isReadByRun,
      project: run.project,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker[Symbol.asyncDispose]()
    await this.#secrets[Symbol.asyncDispose]()
  }

  #openRecords(): CacheRecords {
    const { store } = this.services
    const { cacheDir } = store.root
    return new CacheRecords({
      steps: store.records(join(cacheDir, 'steps'), readStepRecord),
      aliases: store.records(join(cacheDir, 'aliases'), readAliasRecord),
      positions: store.records(join(cacheDir, 'positions'), readPositionRecord),
    })
  }
}

function openReporter({ events, env }: BuildServices): StepReporter {
  const limits = readLogLimits(env, (text) =>
    events({ type: 'warning', atMs: 0, text, step: undefined }),
  )
  return new StepReporter(events, undefined, limits)
}

function openRemoteCaches(
  steps: StepReporter,
  { cacheFrom }: BuildRequest,
  { registry, signal }: BuildServices,
): RemoteCaches | undefined {
  const places = cacheFrom.flatMap((location) => {
    if (location.type !== 'unsupported') return [cachePlace(location, registry)]
    const { kind } = location
    steps.warning(`could not use a cache of type ${kind}: only registry and local are supported`)
    return []
  })
  return places.length === 0 ? undefined : RemoteCaches.open(places, steps, signal)
}

/** Trees of stacks, kept as long as they are likely to be asked for again: several COPY --from of one stage. */
function stackOpener(
  access: LayerAccess,
  signal: AbortSignal,
): (stack: LayerStack, description: string) => Promise<StackTree> {
  const open = new Map<string, Promise<StackTree>>()
  return async (stack, description) => {
    const key = `${(await packedDiffIds(stack)).join(' ')} ${description}`
    const known = open.get(key) ?? StackTree.open(description, stack, access, signal)
    open.delete(key)
    open.set(key, known)
    for (const oldest of [...open.keys()].slice(0, -TREES_MAX)) {
      open.delete(oldest)
    }
    return await known
  }
}

/** A tree of a large image is tens of megabytes. */
const TREES_MAX = 3
