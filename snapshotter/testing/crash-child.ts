import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type DiffId, digestOf } from '../../registry-client/oci/index.ts'
import { openStore } from '../store/store.ts'
import { kernel } from '../native/kernel.ts'

/**
 * A process that stores a layer and kills itself at a step: `crash-child.js <state root> <n>`, n counting from 1. Prints the names
 * of the steps it passed.
 */
const [path, stepText] = process.argv.slice(2)
if (path === undefined || stepText === undefined)
  throw new Error('usage: crash-child <state root> <step>')
const dieAt = Number(stepText)
const signal = new AbortController().signal
let step = 0

const store = await openStore(
  {
    path,
    kernel,
    checkpoint: (name) => {
      step += 1
      process.stdout.write(`${name}\n`)
      if (step === dieAt) process.kill(process.pid, 'SIGKILL')
    },
  },
  signal,
)
const bytes = Buffer.from('layer bytes')
const blob = {
  digest: digestOf(bytes),
  sizeBytes: bytes.length,
  compression: 'gzip',
  engine: undefined,
} as const
const source = (async function* () {
  yield bytes
})()
await store.blobs.ingest(source, blob, signal)
const directory = await store.layers.allocateDirectory(signal)
await mkdir(join(directory.path, 'fs'), { recursive: true })
const contents = store.lease.temporaryPath()
await writeFile(contents, 'contents')
const diffId = digestOf('layer tar') as string as DiffId
await store.layers.record(diffId, { blob, directory, contents }, signal)
const images = store.records<{ readonly diffId: string }>(store.root.imagesDir, () => undefined)
await images.put('image', { diffId })
await store[Symbol.asyncDispose]()
