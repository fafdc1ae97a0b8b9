import { kernel } from '../native/kernel.ts'
import { requires } from '../testing/requires.ts'
import { snapshotterSuite } from '../testing/snapshotter-suite.ts'
import { OverlaySnapshotter } from './overlay-snapshotter.ts'

describe('overlay driver', () => {
  requires('root')
  snapshotterSuite('overlay', {
    kernel,
    privileges: 'root',
    make: (workDir) => new OverlaySnapshotter({ kernel, workDir, userXattr: false }),
  })
})
