import type { Step, StepReporter } from '../solver/steps.ts'

/** A part of a step that several share. */
export interface SharedStep extends Pick<Step, 'progress'> {
  /** The step ends when all parts are done, or when the first one is not. */
  leave(outcome: 'done' | 'failed' | 'canceled', error?: unknown): void
}

/** Steps of one title that go on at the same time are shown as one: the layers of an image. */
export class SharedSteps {
  readonly #steps: Pick<StepReporter, 'start'>
  readonly #active = new Map<string, { readonly step: Step; parts: number }>()

  constructor(steps: Pick<StepReporter, 'start'>) {
    this.#steps = steps
  }

  join(title: string): SharedStep {
    const shared = this.#active.get(title) ?? { step: this.#steps.start(title), parts: 0 }
    shared.parts += 1
    this.#active.set(title, shared)
    return {
      progress: (part, bytes) => shared.step.progress(part, bytes),
      leave: (outcome, error) => {
        shared.parts -= 1
        if (outcome === 'done' && shared.parts > 0) return
        shared.step.end(outcome, error instanceof Error ? error.message : undefined)
        if (this.#active.get(title) === shared) this.#active.delete(title)
      },
    }
  }
}
