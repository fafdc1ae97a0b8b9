import type { Conversion } from './conversion.ts'
import { DockerfileError } from './errors.ts'
import { internalOrigin } from './graph-builder.ts'
import type { GraphPlatform } from './graph.ts'
import type { StageContainerConfig, StageImageConfig } from './image-config.ts'
import { formatImageReference, parseImageReference } from './image-reference.ts'
import { formatFullPlatform, normalizePlatform } from './platform.ts'
import type { ImageResolver, ResolvedContext, ResolvedImage } from './resolver.ts'
import type { ResolvedBase, StageState } from './stages.ts'
import { suggest } from './suggest.ts'
import { stepTitle } from './titles.ts'

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const COMMON_IMAGES = ['alpine', 'busybox', 'centos', 'debian', 'golang', 'ubuntu', 'fedora']

/** Keys of an image's JSON that belong to that build, not to its children. */
const NOT_INHERITED: ReadonlySet<string> = new Set([
  'created',
  'rootfs',
  'history',
  'id',
  'parent',
  'container',
  'container_config',
  'docker_version',
  'Size',
])

/** Resolves the bases of stages, asking for each image once. */
export class BaseResolver {
  readonly #conversion: Conversion
  readonly #resolver: ImageResolver
  readonly #signal: AbortSignal
  readonly #images = new Map<string, Promise<ResolvedImage>>()

  constructor(conversion: Conversion, resolver: ImageResolver, signal: AbortSignal) {
    this.#conversion = conversion
    this.#resolver = resolver
    this.#signal = signal
  }

  /**
   * Resolves what `states` start from, side by side, and adds their nodes in the order of the file. Returns the errors; the
   * reason of an abort is thrown.
   */
  async resolve(states: readonly StageState[]): Promise<DockerfileError[]> {
    const waiting = states.filter(
      ({ base, origin }) => base === undefined && origin.kind !== 'stage',
    )
    const loads = waiting.map((state) => this.#load(state))
    const results = await Promise.allSettled(loads)
    this.#signal.throwIfAborted()
    const errors: DockerfileError[] = []
    results.forEach((result, index) => {
      const state = waiting[index]
      if (state === undefined) return
      if (result.status === 'fulfilled') state.base = this.#toBase(state, result.value)
      else errors.push(this.#toError(state, result.reason))
    })
    return errors
  }

  async #load(state: StageState): Promise<ResolvedContext> {
    const { origin } = state
    switch (origin.kind) {
      case 'scratch':
      case 'stage':
        return { kind: 'scratch' }
      case 'context':
        return this.#resolver.resolveContext(origin.key, this.#platformOf(state), this.#signal)
      case 'image':
        return { kind: 'image', image: await this.#loadImage(origin.name, this.#platformOf(state)) }
    }
  }

  #loadImage(name: string, platform: GraphPlatform): Promise<ResolvedImage> {
    const reference = parseImageReference(name)
    if ('fault' in reference) return Promise.reject(new Error(reference.fault))
    const text = formatImageReference(reference)
    const key = `${text} ${formatFullPlatform(platform)}`
    const known = this.#images.get(key)
    if (known !== undefined) return known
    const image = this.#resolver.resolveImage(text, platform, this.#signal)
    this.#images.set(key, image)
    return image
  }

  #platformOf(state: StageState): GraphPlatform {
    return state.platform ?? this.#conversion.options.targetPlatform
  }

  #toBase(state: StageState, loaded: ResolvedContext): ResolvedBase {
    const { options, graph } = this.#conversion
    switch (loaded.kind) {
      case 'image':
        return this.#imageBase(state, loaded.image)
      case 'scratch': {
        // FROM scratch is always for the target platform, whatever its --platform says.
        const platform = options.targetPlatform
        const node = graph.scratch()
        return { ...emptyBase(platform), node }
      }
      case 'tree':
        return { ...emptyBase(this.#platformOf(state)), node: graph.context(contextKey(state)) }
    }
  }

  #imageBase(state: StageState, image: ResolvedImage): ResolvedBase {
    const { options, graph, facts, hasOneStage } = this.#conversion
    const platform = this.#platformOf(state)
    const { origin, range } = state
    const config = inheritedConfig(image.config)
    const title =
      origin.kind === 'context'
        ? `[context ${origin.key}] ${image.reference}`
        : stepTitle(state, `FROM ${image.reference}`, {
            platform: options.isMultiPlatform ? platform : undefined,
            hasOneStage,
            isOnbuild: false,
            variables: { get: () => undefined, names: () => [] },
          })
    const place = { range, comments: [] }
    if (origin.kind === 'image' && hasLayers(image.config)) {
      const actual = platformOfConfig(config)
      facts({ kind: 'base-platform', place, name: origin.name, expected: platform, actual })
    }
    const node = graph.image(image, platform, {
      ...internalOrigin(title),
      stage: state.title,
      range,
    })
    const triggers = config.config.OnBuild ?? []
    delete config.config.OnBuild
    const isOwnPlatform = origin.kind === 'context' && origin.replacesStage
    return {
      node,
      imageNode: node,
      config,
      platform: isOwnPlatform ? platformOfConfig(config) : platform,
      history: [],
      triggers,
    }
  }

  #toError(state: StageState, reason: unknown): DockerfileError {
    const name = state.stage?.from.base ?? state.title
    const detail = reason instanceof Error ? reason.message : String(reason)
    const shown = state.origin.kind === 'image' ? state.origin.name : name
    const suggestion = suggest(shown, [...this.#conversion.table.names, ...COMMON_IMAGES])
    const message = isNamedIn(detail, shown) ? detail : `${shown}: ${detail}`
    return new DockerfileError('base-unresolved', message, {
      range: state.range,
      focus: name,
      suggestion,
      cause: reason,
    })
  }
}

/** Whoever looked the image up may have named it. */
function isNamedIn(detail: string, name: string): boolean {
  return detail.split(' ').some((word) => word === name || word.startsWith(`${name}:`))
}

function contextKey(state: StageState): string {
  return state.origin.kind === 'context' ? state.origin.key : state.title
}

function emptyBase(platform: GraphPlatform): Omit<ResolvedBase, 'node'> {
  const { os, architecture, variant, osVersion } = platform
  const config: StageImageConfig = {
    architecture,
    os,
    ...(variant === undefined ? {} : { variant }),
    ...(osVersion === undefined ? {} : { 'os.version': osVersion }),
    config: { WorkingDir: '/', ...(os === 'windows' ? {} : { Env: [`PATH=${DEFAULT_PATH}`] }) },
  }
  return { imageNode: undefined, config, platform, history: [], triggers: [] }
}

/** A copy of an image's config without what children do not inherit; null members count as absent (row D143). */
function inheritedConfig(source: StageImageConfig): StageImageConfig {
  const copy = structuredClone(source)
  for (const key of Object.keys(copy)) {
    if (NOT_INHERITED.has(key) || copy[key] === null) delete copy[key]
  }
  const config: StageContainerConfig = copy.config ?? {}
  for (const key of Object.keys(config)) if (config[key] === null) delete config[key]
  return { ...copy, config }
}

/** False when the image says that it has none: it is as good as `scratch` then, for any platform (features row D59). */
function hasLayers({ rootfs }: StageImageConfig): boolean {
  if (typeof rootfs !== 'object' || rootfs === null || !('diff_ids' in rootfs)) return true
  return !Array.isArray(rootfs.diff_ids) || rootfs.diff_ids.length > 0
}

function platformOfConfig(config: StageImageConfig): GraphPlatform {
  const { os, architecture, variant } = config
  return normalizePlatform({
    os: os ?? '',
    architecture: architecture ?? '',
    ...(variant === undefined ? {} : { variant }),
  })
}
