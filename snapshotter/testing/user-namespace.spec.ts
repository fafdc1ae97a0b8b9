import { CopySnapshotter } from '../copy/copy-snapshotter.ts'
import { kernel } from '../native/kernel.ts'
import { OverlaySnapshotter } from '../overlay/overlay-snapshotter.ts'
import { snapshotterSuite } from './snapshotter-suite.ts'

/** Not a test file of its own: snapshotter.test.ts runs it inside a user namespace with one id. */
const privileges = 'user-namespace'

snapshotterSuite('overlay in a user namespace', {
  kernel,
  privileges,
  make: (workDir) => new OverlaySnapshotter({ kernel, workDir, userXattr: true }),
})

snapshotterSuite('copy in a user namespace', {
  kernel,
  privileges,
  make: (workDir) => new CopySnapshotter({ kernel, workDir, ownership: 'owners' }),
})
