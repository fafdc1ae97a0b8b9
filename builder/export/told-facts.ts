import type { BuildResult } from '../image/built-image.ts'
import type { Step } from '../solver/steps.ts'

/** Tells a part of the step that has no bytes to count. */
export function tellFact(step: Pick<Step, 'progress'>, text: string): void {
  step.progress(text, { currentBytes: 0, totalBytes: undefined, isDone: true })
}

/** Tells the digests of a result with BuildKit's words: scripts find them in the progress. */
export function tellManifests(step: Pick<Step, 'progress'>, { images, index }: BuildResult): void {
  for (const { manifest, configDescriptor } of images) {
    tellFact(step, `exporting manifest ${manifest.digest}`)
    tellFact(step, `exporting config ${configDescriptor.digest}`)
  }
  if (index !== undefined) tellFact(step, `exporting manifest list ${index.digest}`)
}
