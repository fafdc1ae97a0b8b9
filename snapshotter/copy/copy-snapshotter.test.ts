import { kernel } from '../native/kernel.ts'
import { requires } from '../testing/requires.ts'
import { snapshotterSuite } from '../testing/snapshotter-suite.ts'
import { CopySnapshotter } from './copy-snapshotter.ts'

describe('copy driver', () => {
  requires('root')
  snapshotterSuite('copy', {
    kernel,
    privileges: 'root',
    make: (workDir) => new CopySnapshotter({ kernel, workDir, ownership: 'owners' }),
  })
})
