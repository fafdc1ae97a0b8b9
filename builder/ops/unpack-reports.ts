import type { Digest } from '../../registry-client/oci/index.ts'
import type { LayerBlob } from '../../snapshotter/index.ts'
import type { BuildLayer } from '../solver/layer.ts'
import type { Step, StepReporter } from '../solver/steps.ts'

/** What a step wrote itself is unpacked in no time below this, and nobody wants to read of it. */
const OWN_LAYER_BYTES_MIN = 1024 * 1024

/** The unpacking of one layer, as it is shown. */
export interface UnpackReport {
  /** `currentBytes` of the blob are done with. */
  moved(currentBytes: number): void
  end(outcome: 'done' | 'failed' | 'canceled', error?: unknown): void
}

/** Shows what is being unpacked: a step for each image, with its layers as BuildKit names them (`extracting sha256:...`). */
export class UnpackReports {
  readonly #steps: Pick<StepReporter, 'start'>
  readonly #active = new Map<string, { readonly step: Step; layers: number }>()

  constructor(steps: Pick<StepReporter, 'start'>) {
    this.#steps = steps
  }

  begin(layer: Pick<BuildLayer, 'title' | 'remote'>, blob: LayerBlob): UnpackReport {
    if (layer.remote === undefined && blob.sizeBytes < OWN_LAYER_BYTES_MIN) return SILENT
    const { title } = layer
    const shared = this.#active.get(title) ?? {
      step: this.#steps.start(`unpacking ${title}`),
      layers: 0,
    }
    shared.layers += 1
    this.#active.set(title, shared)
    const report = (currentBytes: number, isDone: boolean): void =>
      shared.step.progress(partOf(blob.digest), {
        currentBytes,
        totalBytes: blob.sizeBytes,
        isDone,
      })
    report(0, false)
    return {
      moved: (currentBytes) => report(Math.min(currentBytes, blob.sizeBytes), false),
      end: (outcome, error) => {
        shared.layers -= 1
        if (outcome === 'done') report(blob.sizeBytes, true)
        if (shared.layers > 0 && outcome === 'done') return
        shared.step.end(outcome, error instanceof Error ? error.message : undefined)
        this.#active.delete(title)
      },
    }
  }
}

const SILENT: UnpackReport = { moved: () => {}, end: () => {} }

function partOf(digest: Digest): string {
  return `extracting ${digest}`
}
