import type { Range } from './diagnostics.ts'
import type { GraphPlatform } from './graph.ts'
import type { FromCommand } from './instructions/from.ts'
import type { Command } from './instructions/parse-instruction.ts'

/** The instruction that a fact is about: where a warning points to and which comments may silence it. */
export interface FactPlace {
  readonly range: Range
  readonly comments: readonly string[]
}

/** What the conversion saw, for the lint rules (`rules/`). Facts come in the order of the conversion. */
export type ConversionFact =
  /** A variable that nothing defines; `known` are the names in scope. */
  | {
      readonly kind: 'missing-variable'
      readonly place: FactPlace
      readonly name: string
      readonly known: readonly string[]
    }
  /** A variable in FROM that no global ARG declares. */
  | {
      readonly kind: 'missing-from-variable'
      readonly place: FactPlace
      readonly name: string
      readonly known: readonly string[]
    }
  /** Base name of FROM with the defaults of the ARGs only. */
  | { readonly kind: 'default-base'; readonly from: FromCommand; readonly name: string }
  /** `--platform` of FROM after expansion. */
  | {
      readonly kind: 'from-platform'
      readonly from: FromCommand
      readonly value: string
      readonly platform: GraphPlatform
      readonly used: ReadonlySet<string>
      readonly missing: ReadonlySet<string>
      /** Value of TARGETPLATFORM. */
      readonly target: string
    }
  | {
      readonly kind: 'base-platform'
      readonly place: FactPlace
      readonly name: string
      readonly expected: GraphPlatform
      readonly actual: GraphPlatform
    }
  /** A WORKDIR; `isFirst`: none came before it in the stage and the stages below. */
  | {
      readonly kind: 'workdir'
      readonly place: FactPlace
      readonly path: string
      readonly isFirst: boolean
    }
  /** Names that ENV or ARG sets, after expansion. */
  | {
      readonly kind: 'names-set'
      readonly place: FactPlace
      readonly instruction: 'ENV' | 'ARG'
      readonly names: readonly string[]
    }
  | { readonly kind: 'legacy-pairs'; readonly place: FactPlace; readonly instruction: string }
  /** CMD or ENTRYPOINT in shell form while the image names no SHELL. */
  | { readonly kind: 'default-shell'; readonly place: FactPlace; readonly instruction: string }
  /** An earlier instruction that a later one of the stage makes void. */
  | { readonly kind: 'overridden'; readonly earlier: Command; readonly later: Command }
  | {
      readonly kind: 'port'
      readonly place: FactPlace
      readonly text: string
      readonly hasUpperCaseProtocol: boolean
      readonly hasHostPart: boolean
    }
  /** A path that COPY or ADD takes from the main context, after expansion. */
  | {
      readonly kind: 'context-path'
      readonly place: FactPlace
      readonly instruction: 'Copy' | 'Add'
      readonly path: string
    }

/** Where the conversion leaves its facts. */
export type FactSink = (fact: ConversionFact) => void
