import assert from 'node:assert/strict'
import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { RegistryClient } from '../../registry-client/index.ts'
import { type Descriptor, digestOf, OCI_LAYER_GZIP } from '../../registry-client/oci/index.ts'
import { FakeRegistry } from '../../registry-client/testing/fake-registry.ts'
import { noise, testClient } from '../../registry-client/testing/test-client.ts'
import type { BuildEvent } from '../events.ts'
import type { ImageLayer } from '../image/built-image.ts'
import { GrowingBlob } from '../solver/growing-blob.ts'
import { StepReporter } from '../solver/steps.ts'
import type { ExportServices } from './exporter.ts'
import type { Pause } from './growing-file.ts'
import { FORMAT_DEFAULT } from './layer-formats.ts'
import { RegistryExporter } from './registry.ts'

const LARGE = noise(20_000_000)
/** What a packer has written by then: enough to begin. */
const HALF = LARGE.subarray(0, 18_000_000)
const pause: Pause = async (_durationMs, signal) => {
  await setImmediate(undefined, { signal })
}

describe('a layer that is sent while it is packed', () => {
  let directory: string
  let registry: FakeRegistry
  let client: RegistryClient
  let stop: AbortController
  let events: BuildEvent[]
  let services: ExportServices

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-early-'))
    registry = await FakeRegistry.start()
    client = testClient()
    stop = new AbortController()
    events = []
    services = {
      steps: new StepReporter((event) => events.push(event)),
      ensureBlob: async () => join(directory, 'stored'),
    }
  })

  afterEach(async () => {
    await client[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  function exporterFor(...repositories: readonly string[]): RegistryExporter {
    const names = repositories.map((name) => `${registry.host}/${name}:v1`)
    return new RegistryExporter(
      { format: FORMAT_DEFAULT, names, pushByDigest: false },
      async () => client,
      pause,
    )
  }

  /** A packer that writes when the test says so. */
  function packer(): {
    blob: GrowingBlob
    write(bytes: Uint8Array): Promise<void>
    end(bytes?: Uint8Array): Promise<ImageLayer>
    fail(): Promise<void>
  } {
    const file = join(directory, 'growing')
    const blob = new GrowingBlob(file, { compression: 'gzip', level: undefined })
    let finish: (result: Descriptor | Error) => void = () => undefined
    const packed = new Promise<Descriptor>((resolve, reject) => {
      finish = (result) => (result instanceof Error ? reject(result) : resolve(result))
    })
    const packing = blob.during(() => packed)
    packing.catch(() => undefined)
    return {
      blob,
      write: (bytes) => appendFile(file, bytes),
      end: async (bytes = LARGE) => {
        const descriptor = {
          mediaType: OCI_LAYER_GZIP,
          digest: digestOf(bytes),
          sizeBytes: bytes.byteLength,
        }
        finish(descriptor)
        await packing
        await rename(file, join(directory, 'stored'))
        return {
          diffId: digestOf('tar') as string as ImageLayer['diffId'],
          descriptor,
          origins: [],
        }
      },
      fail: async () => {
        finish(new Error('no space left'))
        await packing.catch(() => undefined)
        await rm(file)
      },
    }
  }

  function announce(exporter: RegistryExporter, blob: GrowingBlob, likely?: Descriptor): void {
    const layer = { title: '[2/2] RUN make', blob, likely: async () => likely }
    exporter.layerGrowing(layer, services, stop.signal)
  }

  /** Until the layer is in the repository; `export` waits for the same. */
  async function ready(
    exporter: RegistryExporter,
    layer: ImageLayer,
    repository = 'app',
  ): Promise<void> {
    exporter.layerReady(layer, services, stop.signal)
    const { blobs } = registry.repository(repository)
    while (!blobs.has(layer.descriptor.digest)) await setImmediate()
  }

  function methods(): string[] {
    return registry.requests.map(({ method }) => method)
  }

  /** A layer of which the first half was sent before the rest was packed. */
  async function sentEarly(): Promise<ImageLayer> {
    const exporter = exporterFor('app')
    const { blob, write, end } = packer()
    announce(exporter, blob)
    await write(HALF)
    await registry.requested('PATCH')
    await write(LARGE.subarray(HALF.byteLength))
    const layer = await end()
    await ready(exporter, layer)
    return layer
  }

  it('is there when it is packed but for the rest', async () => {
    await sentEarly()
    assert.deepEqual(methods(), ['POST', 'PATCH', 'HEAD', 'PUT'])
    assert.equal(registry.uploads.openCount, 0)
  })

  it('is reported under the title of its step, then under its digest', async () => {
    const layer = await sentEarly()
    const done = await doneParts(2)
    const part = `sha256:${layer.descriptor.digest.slice(7, 19)}`
    assert.deepEqual(
      done.map(({ part: name, note }) => [name, note]),
      [
        ['[2/2] RUN make', 'sent while it was packed'],
        [part, undefined],
      ],
    )
    assert.equal(done[1]?.currentBytes, LARGE.byteLength)
  })

  it('is sent when it is whole as long as it is small', async () => {
    const exporter = exporterFor('app')
    const { blob, write, end } = packer()
    announce(exporter, blob)
    const small = LARGE.subarray(0, 1_000_000)
    await write(small)
    await ready(exporter, await end(small))
    assert.deepEqual(methods(), ['HEAD', 'POST', 'PUT'])
  })

  it('is sent once to each registry: other repositories mount it', async () => {
    const exporter = exporterFor('app', 'other')
    const { blob, write, end } = packer()
    announce(exporter, blob)
    await write(LARGE)
    await registry.requested('PATCH')
    await ready(exporter, await end(), 'other')
    const sent = registry.requests.filter(({ method }) => method === 'PATCH' || method === 'PUT')
    assert.deepEqual(
      sent.map(({ method, path }) => [method, path.split('/')[2]]),
      [
        ['PATCH', 'app'],
        ['PUT', 'app'],
      ],
    )
  })

  it('waits for its digest when it is likely to be what the registry has', async () => {
    const before = registry.repository('app').addBlob(LARGE)
    const exporter = exporterFor('app')
    const { blob, write, end } = packer()
    announce(exporter, blob, before)
    await write(LARGE)
    await registry.requested('HEAD')
    await ready(exporter, await end())
    await doneParts(1)
    assert.deepEqual(methods(), ['HEAD', 'HEAD'])
  })

  it('is not sent twice when the registry does not have what it is likely to be', async () => {
    const exporter = exporterFor('app')
    const { blob, write, end } = packer()
    announce(exporter, blob, { mediaType: OCI_LAYER_GZIP, digest: digestOf('old'), sizeBytes: 3 })
    await write(LARGE)
    await registry.requested('PATCH')
    await ready(exporter, await end())
    assert.deepEqual(methods(), ['HEAD', 'POST', 'PATCH', 'HEAD', 'PUT'])
  })

  it('is cancelled when packing fails', async () => {
    const exporter = exporterFor('app')
    const { blob, write, fail } = packer()
    announce(exporter, blob)
    await write(LARGE)
    await registry.requested('PATCH')
    await fail()
    await registry.requested('DELETE')
    stop.abort(new Error('the build failed'))
    await exporter.abandon()
    assert.equal(registry.uploads.openCount, 0)
  })

  it('is cancelled when the build fails elsewhere', async () => {
    const exporter = exporterFor('app')
    const { blob, write, end } = packer()
    announce(exporter, blob)
    await write(LARGE)
    await registry.requested('PATCH')
    stop.abort(new Error('the build failed'))
    await exporter.abandon()
    assert.equal(registry.uploads.openCount, 0)
    assert.deepEqual(methods(), ['POST', 'PATCH', 'DELETE'])
    // What is packed is packed to its end, but no step of a push begins again.
    await end()
    await setImmediate()
    const steps = events.flatMap(({ type }) => (type === 'step-progress' ? [] : [type]))
    assert.deepEqual(steps, ['step-started', 'step-ended'])
  })

  it('goes the usual way when its file is not what the packer says', async () => {
    const exporter = exporterFor('app')
    const { blob, write, end } = packer()
    announce(exporter, blob)
    await write(noise(20_000_000, 9))
    await registry.requested('PATCH')
    const layer = await end()
    await rm(join(directory, 'stored'))
    await writeFile(join(directory, 'stored'), LARGE)
    await ready(exporter, layer)
    assert.deepEqual(methods().slice(0, 4), ['POST', 'PATCH', 'HEAD', 'PUT'])
  })

  /** The parts that are done, once there are so many. */
  async function doneParts(
    count: number,
  ): Promise<Extract<BuildEvent, { type: 'step-progress' }>[]> {
    for (;;) {
      const done = events.flatMap((event) =>
        event.type === 'step-progress' && event.isDone ? [event] : [],
      )
      if (done.length >= count) return done
      await setImmediate()
    }
  }
})
