import type { GraphPlatform } from './graph.ts'
import type { ContextIgnore } from './rules/copy-ignored.ts'

/** What the command line says about one conversion: one per target platform. */
export interface ConvertOptions {
  /** Stage to build; undefined: the last one. */
  readonly target: string | undefined
  readonly buildArgs: ReadonlyMap<string, string>
  /** The machine that builds. */
  readonly buildPlatform: GraphPlatform
  readonly targetPlatform: GraphPlatform
  /** `--platform` was given: the result carries it whatever the base says (features row O5). */
  readonly isPlatformExplicit: boolean
  /** Several platforms are built: step titles name theirs. */
  readonly isMultiPlatform: boolean
  /** Names of `--build-context`, as given; `name::os/arch` is for one platform. */
  readonly namedContexts: ReadonlySet<string>
  /** `--label`: applied last. */
  readonly labels: ReadonlyMap<string, string>
  readonly noCache: boolean
  readonly noCacheFilter: readonly string[]
  /** Network of RUN where the Dockerfile does not say. */
  readonly network: 'default' | 'none' | 'host'
  /** Hostname of RUN; undefined: the builder's default. */
  readonly hostname: string | undefined
  /** `.dockerignore` of the main context, for the rule CopyIgnoredFile; undefined: none, or not known. */
  readonly ignore?: ContextIgnore | undefined
  /** Convert every stage, not only what the target needs: for checks. */
  readonly allStages?: boolean
}

/** Checks and outlines are made for the machine's own platform whatever `--platform` says, as BuildKit's are. */
export function withoutPlatform(options: ConvertOptions): ConvertOptions {
  const { buildPlatform } = options
  return {
    ...options,
    targetPlatform: buildPlatform,
    isPlatformExplicit: false,
    isMultiPlatform: false,
  }
}
