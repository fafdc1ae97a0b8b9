import { blobStoreSuite } from '../testing/blob-store-suite.ts'
import { kernel } from '../native/kernel.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { DisposableScope } from './scope.ts'
import { openStore } from './store.ts'

blobStoreSuite('state root', async () => {
  const scope = new DisposableScope()
  const place = scope.use(await temporaryDirectory())
  const options = { path: place.path, kernel }
  const signal = new AbortController().signal
  const store = scope.use(await openStore(options, signal))
  return {
    blobs: store.blobs,
    blobsDir: store.root.blobsDir,
    workDir: store.lease.directory,
    another: async () => scope.use(await openStore(options, signal)).blobs,
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  }
})
