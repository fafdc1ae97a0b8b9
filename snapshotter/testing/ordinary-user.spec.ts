import { CopySnapshotter } from '../copy/copy-snapshotter.ts'
import { kernel } from '../native/kernel.ts'
import { snapshotterSuite } from './snapshotter-suite.ts'

/** Not a test file of its own: snapshotter.test.ts runs it as a user without any privilege. */
snapshotterSuite('copy as an ordinary user', {
  kernel,
  privileges: 'user',
  make: (workDir) => new CopySnapshotter({ kernel, workDir, ownership: 'none' }),
})
