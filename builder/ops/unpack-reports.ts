import type { Digest } from '../../registry-client/oci/index.ts'
import type { LayerBlob } from '../../snapshotter/index.ts'
import type { BuildLayer } from '../solver/layer.ts'
import type { StepReporter } from '../solver/steps.ts'
import { SharedSteps } from './shared-steps.ts'

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
  readonly #steps: SharedSteps

  constructor(steps: Pick<StepReporter, 'start'>) {
    this.#steps = new SharedSteps(steps)
  }

  begin(layer: Pick<BuildLayer, 'title' | 'remote'>, blob: LayerBlob): UnpackReport {
    if (layer.remote === undefined && blob.sizeBytes < OWN_LAYER_BYTES_MIN) return SILENT
    const shared = this.#steps.join(`unpacking ${layer.title}`)
    const totalBytes = blob.sizeBytes
    const report = (currentBytes: number, isDone: boolean): void =>
      shared.progress(partOf(blob.digest), { currentBytes, totalBytes, isDone })
    report(0, false)
    return {
      moved: (currentBytes) => report(Math.min(currentBytes, totalBytes), false),
      end: (outcome, error) => {
        if (outcome === 'done') report(totalBytes, true)
        shared.leave(outcome, error)
      },
    }
  }
}

const SILENT: UnpackReport = { moved: () => {}, end: () => {} }

function partOf(digest: Digest): string {
  return `extracting ${digest}`
}
