import fc from 'fast-check'
import { CopySnapshotter } from '../copy/copy-snapshotter.ts'
import { kernel } from '../native/kernel.ts'
import { OverlaySnapshotter } from '../overlay/overlay-snapshotter.ts'
import type { Snapshotter } from '../snapshotter.ts'
import { checkRoundTrip } from '../testing/layer-round-trip.ts'
import { treeChange } from '../testing/random-changes.ts'
import { requires } from '../testing/requires.ts'

const drivers: Readonly<Record<string, (workDir: string) => Snapshotter>> = {
  overlay: (workDir) => new OverlaySnapshotter({ kernel, workDir, userXattr: false }),
  copy: (workDir) => new CopySnapshotter({ kernel, workDir, ownership: 'owners' }),
}

describe('random changes, as layers and back', () => {
  requires('root')

  for (const [name, make] of Object.entries(drivers)) {
    it(`give the same tree with the ${name} driver`, async function () {
      this.timeout(120_000)
      const steps = fc.array(fc.array(treeChange, { minLength: 1, maxLength: 25 }), {
        minLength: 1,
        maxLength: 3,
      })
      await fc.assert(
        fc.asyncProperty(steps, (changes) => checkRoundTrip(changes, { kernel, make })),
        { numRuns: Number(process.env['TSBUILD_PROPERTY_RUNS'] ?? 40) },
      )
    })
  }
})
