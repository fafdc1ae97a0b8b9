import assert from 'node:assert/strict'
import {
  type Digest,
  digestOf,
  OCI_CONFIG,
  OCI_MANIFEST,
  serializeImageConfig,
  serializeManifest,
} from '../../registry-client/oci/index.ts'
import { BuildError } from '../errors.ts'
import { ImageStore, type ImageTable, readStoredImage, type StoredImage } from './image-store.ts'

class MemoryTable implements ImageTable {
  readonly #values = new Map<string, string>()

  async get(name: string): Promise<StoredImage | undefined> {
    const text = this.#values.get(name)
    return text === undefined ? undefined : readStoredImage(JSON.parse(text))
  }

  async put(name: string, record: StoredImage): Promise<void> {
    assert.match(name, /^[a-z0-9][a-z0-9._-]*$/)
    this.#values.set(name, JSON.stringify(record))
  }

  async remove(name: string): Promise<void> {
    this.#values.delete(name)
  }

  async names(): Promise<string[]> {
    return [...this.#values.keys()]
  }

  async touch(): Promise<void> {}

  async lastUsedMs(): Promise<undefined> {}
}

const signal = new AbortController().signal

/** Locks of one name, as between processes. */
function oneAtATime(): ConstructorParameters<typeof ImageStore>[2] {
  let last = Promise.resolve()
  return {
    acquire: async (path) => {
      const before = last
      let release = (): void => {}
      last = new Promise((resolve) => (release = resolve))
      await before
      return { path, [Symbol.asyncDispose]: async () => release() }
    },
  }
}

/** A store with images that differ in their author. */
function makeStore(): {
  readonly store: ImageStore
  readonly add: (name: string | undefined, author: string) => Promise<StoredImage>
} {
  const blobs = new Map<Digest, Uint8Array>()
  const put = (bytes: Uint8Array): Digest => {
    blobs.set(digestOf(bytes), bytes)
    return digestOf(bytes)
  }
  const find = async (digest: Digest): Promise<Uint8Array | undefined> => blobs.get(digest)
  const store = new ImageStore(new MemoryTable(), { find }, oneAtATime())
  const add = async (name: string | undefined, author: string): Promise<StoredImage> => {
    const config = serializeImageConfig({
      author,
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [] },
      history: [],
    })
    const manifest = serializeManifest({
      mediaType: OCI_MANIFEST,
      config: { mediaType: OCI_CONFIG, digest: put(config), sizeBytes: config.byteLength },
      layers: [],
    })
    put(manifest.bytes)
    const target = {
      mediaType: OCI_MANIFEST,
      digest: manifest.digest,
      sizeBytes: manifest.bytes.byteLength,
    }
    const image = { name, target, storedAt: '2025-01-01T00:00:00Z', origins: [] }
    await store.put(image, signal)
    return image
  }
  return { store, add }
}

function hasCode(code: BuildError['code']): (error: unknown) => boolean {
  return (error) => error instanceof BuildError && error.code === code
}

describe('ImageStore', () => {
  it('finds an image by name, digest, and the beginning of its id', async () => {
    const { store, add } = makeStore()
    const image = await add('docker.io/library/app:1', 'a')
    await add('docker.io/library/app:2', 'b')
    const [platform] = await store.platforms(image, signal)
    const id = String(platform?.manifest.config.digest)
    for (const text of ['docker.io/library/app:1', image.target.digest, id, id.slice(7, 19)]) {
      assert.equal((await store.resolve(text, signal)).target.digest, image.target.digest)
    }
    await assert.rejects(store.resolve('docker.io/library/app:3', signal), hasCode('name-missing'))
  })

  it('keeps an image that lost its name, without one', async () => {
    const { store, add } = makeStore()
    const old = await add('docker.io/library/app:1', 'a')
    const fresh = await add('docker.io/library/app:1', 'b')
    const images = await store.list()
    assert.deepEqual(
      images.map((image) => [image.name, image.target.digest]),
      [
        ['docker.io/library/app:1', fresh.target.digest],
        [undefined, old.target.digest],
      ],
    )
  })

  it('does not list an image without a name when it has one', async () => {
    const { store, add } = makeStore()
    await add(undefined, 'a')
    await add('docker.io/library/app:1', 'a')
    await add(undefined, 'a')
    assert.deepEqual(
      (await store.list()).map((image) => image.name),
      ['docker.io/library/app:1'],
    )
  })

  it('leaves an image without a name of everybody who lost it at the same time', async () => {
    const { store, add } = makeStore()
    const authors = ['a', 'b', 'c', 'd']
    await Promise.all(authors.map((author) => add('docker.io/library/app:1', author)))
    const names = (await store.list()).map(({ name }) => name)
    assert.deepEqual(names, ['docker.io/library/app:1', undefined, undefined, undefined])
  })

  it('removes one name without the other', async () => {
    const { store, add } = makeStore()
    const image = await add('docker.io/library/app:1', 'a')
    await store.put({ ...image, name: 'localhost:5000/app:x' }, signal)
    await store.remove(image)
    assert.deepEqual(
      (await store.list()).map(({ name, target }) => [name, target.digest]),
      [['localhost:5000/app:x', image.target.digest]],
    )
  })
})
