/** What a fake registry does instead of its duty, once or `times` often. */
export interface ScriptStep {
  readonly method?: string
  /** Matched against path and query. */
  readonly path?: RegExp
  /** Default 1; Infinity for ever. */
  readonly times?: number
  readonly act: ScriptAct
}

export type ScriptAct =
  /** Answers so; the request's body is read and dropped. */
  | {
      readonly kind: 'reply'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
    }
  /** Does its duty, but the connection breaks after so many bytes of the answer's body. */
  | { readonly kind: 'cut-answer'; readonly afterBytes: number }
  /**
   * The connection breaks after so many bytes of the request's body; an upload keeps what arrived.
   */
  | { readonly kind: 'cut-request'; readonly afterBytes: number }
  /** Does its duty, but with these headers set, or removed when undefined. */
  | { readonly kind: 'headers'; readonly headers: Readonly<Record<string, string | undefined>> }
  /** Does its duty, but with another body of the same kind of answer. */
  | { readonly kind: 'body'; readonly bytes: Uint8Array }
  /** Does its duty as if no Range had been asked for. */
  | { readonly kind: 'ignore-range' }
  /** Takes the request and never answers. */
  | { readonly kind: 'hang' }

export interface ScriptedRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
}

/** The steps still to be done, in the order in which they were added. */
export class Script {
  readonly #steps: { readonly step: ScriptStep; timesLeft: number }[] = []

  add(step: ScriptStep): void {
    this.#steps.push({ step, timesLeft: step.times ?? 1 })
  }

  /** From now on everything is done as it should be. */
  clear(): void {
    this.#steps.length = 0
  }

  /** What to do with this request: the first step that fits is used up by it. */
  take(request: ScriptedRequest): ScriptAct | undefined {
    for (const entry of this.#steps) {
      const { method, path, act } = entry.step
      if (entry.timesLeft <= 0) continue
      if (method !== undefined && method !== request.method) continue
      if (path !== undefined && !path.test(request.path)) continue
      entry.timesLeft -= 1
      return act
    }
    return undefined
  }
}
