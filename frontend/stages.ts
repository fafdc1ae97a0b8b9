import type { Stage } from './dockerfile.ts'
import type { Environment } from './environment.ts'
import type { GraphPlatform, NodeId, PlannedHistory } from './graph.ts'
import type { StageImageConfig } from './image-config.ts'
import type { ArgDefinition } from './instructions/arg.ts'
import type { Command } from './instructions/parse-instruction.ts'
import type { Range } from './diagnostics.ts'

/** A command with the stages or images that it takes files from. */
export interface BoundCommand {
  readonly command: Command
  /** COPY: its `--from`. RUN: one per mount. Undefined: the build context, or nothing. */
  readonly sources: readonly (StageState | undefined)[]
  readonly isOnbuild: boolean
}

/** Where a filesystem comes from when it is not another stage of the file. */
export type StageOrigin =
  | { readonly kind: 'stage'; readonly base: StageState }
  | { readonly kind: 'scratch' }
  | { readonly kind: 'image'; readonly name: string }
  /** A named context took the place of the stage or image. */
  | { readonly kind: 'context'; readonly key: string; readonly replacesStage: boolean }

/** A stage (or an image that COPY --from or a mount names) on its way through the conversion. */
export interface StageState {
  /** Undefined: not a stage of the file. */
  readonly stage: Stage | undefined
  /** For titles and messages: the name, `stage-N`, or the image. */
  readonly title: string
  readonly range: Range
  readonly origin: StageOrigin
  readonly ignoreCache: boolean
  /** Variables of FROM that its base and platform used. */
  readonly fromVariables: ReadonlySet<string>
  platform: GraphPlatform | undefined
  commands: BoundCommand[]
  /** Triggers of the base were put before the commands. */
  hasTriggers: boolean
  /** Steps that titles count: base image, RUN, COPY, ADD, WORKDIR. */
  stepCount: number
  stepIndex: number
  /** Set when the base is known. */
  base: ResolvedBase | undefined
  /** Set when the commands were applied. */
  result: StageResult | undefined
}

/** What a stage starts from. */
export interface ResolvedBase {
  readonly node: NodeId
  /** The image node at the bottom; undefined: none. */
  readonly imageNode: NodeId | undefined
  readonly config: StageImageConfig
  readonly platform: GraphPlatform
  readonly history: readonly PlannedHistory[]
  /** Triggers stored in the base image. */
  readonly triggers: readonly string[]
}

/** An ARG as it took effect in a stage. */
export interface ScopedArg extends ArgDefinition {
  readonly range: Range
  /** The stage that declares it. */
  readonly owner: StageState
  /** Only named; the value is the global one. */
  readonly isInherited: boolean
}

/** A stage after its last command; a stage built on it starts as a copy of this. */
export interface StageResult {
  readonly node: NodeId
  readonly imageNode: NodeId | undefined
  readonly config: StageImageConfig
  readonly platform: GraphPlatform
  readonly history: readonly PlannedHistory[]
  readonly environment: Environment
  readonly args: readonly ScopedArg[]
  readonly hasWorkdir: boolean
}

type StageStart = 'stage' | 'title' | 'range' | 'origin' | 'ignoreCache' | 'fromVariables'

/** A stage before anything was done with it. */
export function newState(
  start: Pick<StageState, StageStart | 'platform' | 'stepCount'>,
): StageState {
  return {
    ...start,
    commands: [],
    hasTriggers: false,
    stepIndex: 0,
    base: undefined,
    result: undefined,
  }
}

/** The stages of a file by name and number. */
export class StageTable {
  readonly stages: StageState[] = []
  readonly #byName = new Map<string, StageState>()
  readonly #externals = new Map<string, StageState>()
  readonly #originOf: (name: string) => StageOrigin

  /** `originOf` says what a name is that is no stage. */
  constructor(originOf: (name: string) => StageOrigin) {
    this.#originOf = originOf
  }

  /** Images and named contexts that COPY --from and mounts name, in the order in which they were met. */
  get externals(): Iterable<StageState> {
    return this.#externals.values()
  }

  get externalCount(): number {
    return this.#externals.size
  }

  /** What `name` is when no stage has it: an image, or a named context. */
  external(name: string, range: Range): StageState {
    const known = this.#externals.get(name)
    if (known !== undefined) return known
    const state = newState({
      stage: undefined,
      title: name,
      range,
      origin: this.#originOf(name),
      ignoreCache: false,
      fromVariables: new Set(),
      platform: undefined,
      stepCount: 0,
    })
    this.#externals.set(name, state)
    return state
  }

  add(state: StageState, name: string): void {
    this.stages.push(state)
    // A name that is used twice means the later stage from there on (features row D56).
    if (name !== '') this.#byName.set(name, state)
  }

  find(name: string): StageState | undefined {
    return this.#byName.get(name.toLowerCase())
  }

  get names(): string[] {
    return this.stages.map((state) => state.title)
  }

  /** Every stage and external. */
  get all(): StageState[] {
    return [...this.stages, ...this.#externals.values()]
  }

  /** Stages and externals that `target` needs, itself included. */
  reachableFrom(targets: readonly StageState[]): Set<StageState> {
    const found = new Set<StageState>()
    const waiting = [...targets]
    for (let state = waiting.pop(); state !== undefined; state = waiting.pop()) {
      if (found.has(state)) continue
      found.add(state)
      waiting.push(...dependenciesOf(state))
    }
    return found
  }
}

/** Stages whose files `state` needs. A replaced stage needs none: its commands do not run. */
export function dependenciesOf(state: StageState): StageState[] {
  if (isReplaced(state)) return []
  const needed = state.commands.flatMap((bound) => bound.sources.filter(isState))
  return state.origin.kind === 'stage' ? [state.origin.base, ...needed] : needed
}

/** True when a named context stands for the stage: none of its commands runs. */
export function isReplaced(state: StageState): boolean {
  return state.origin.kind === 'context' && state.origin.replacesStage
}

function isState(state: StageState | undefined): state is StageState {
  return state !== undefined
}
