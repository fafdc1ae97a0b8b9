import assert from 'node:assert/strict'
import { RegistryError, type RegistryErrorCode } from '../../registry-client/index.ts'
import { formatReference, type Reference } from '../../registry-client/oci/index.ts'
import { FORMAT_DEFAULT } from './layer-formats.ts'
import { RegistryExporter } from './registry.ts'
import { ImageMaker } from './testing/image-maker.ts'
import { recordingClient } from './testing/recording-client.ts'

const NAMES = ['reg.example/a:v1', 'reg.example/a:v2', 'reg.example/b:v1']

describe('RegistryExporter', () => {
  let maker: ImageMaker
  beforeEach(async () => {
    maker = await ImageMaker.open()
  })
  afterEach(() => maker[Symbol.asyncDispose]())

  it('pushes blobs before manifests and tags last, each layer once a repository', async () => {
    const { client, calls } = recordingClient()
    const exporter = new RegistryExporter(
      { format: FORMAT_DEFAULT, names: NAMES, pushByDigest: false },
      async () => client,
    )
    const result = await maker.result([[{ name: 'a', content: 'a' }]])
    const [image] = result.images
    assert.ok(image !== undefined)
    for (const layer of image.layers) {
      exporter.layerReady(layer, maker.services, new AbortController().signal)
    }
    await exporter.export(result, maker.services, new AbortController().signal)
    const ofA = calls.filter(({ place }) => place.repository === 'a')
    assert.deepEqual(
      ofA.map(({ kind, place }) => [kind, place.tag ?? 'digest']),
      [
        ['blob', 'digest'],
        ['blob', 'digest'],
        ['manifest', 'v1'],
        ['manifest', 'v2'],
      ],
    )
    const ofB = calls.filter(({ place }) => place.repository === 'b')
    assert.deepEqual(
      ofB.flatMap(({ mountFrom }) => mountFrom ?? []),
      ['a'],
    )
  })

  it('touches no tag when it pushes by digest', async () => {
    const { client, calls } = recordingClient()
    const exporter = new RegistryExporter(
      { format: FORMAT_DEFAULT, names: ['reg.example/a:latest'], pushByDigest: true },
      async () => client,
    )
    const { signal } = new AbortController()
    const { names } = await exporter.export(await maker.result([[]]), maker.services, signal)
    assert.ok(calls.every(({ place }) => place.tag === undefined))
    assert.deepEqual(names, ['reg.example/a'])
  })

  it('fails when one registry fails, after the others got theirs, and says so', async () => {
    const { client, calls } = recordingClient((place: Reference) => {
      if (place.registry === 'bad.example' && place.tag !== undefined) {
        throw new Error('no')
      }
    })
    const names = ['bad.example/a:v1', 'good.example/a:v1']
    const exporter = new RegistryExporter(
      { format: FORMAT_DEFAULT, names, pushByDigest: false },
      async () => client,
    )
    await assert.rejects(
      exporter.export(await maker.result([[]]), maker.services, new AbortController().signal),
      /no/,
    )
    assert.ok(calls.some(({ place }) => formatReference(place) === 'good.example/a:v1'))
    assert.ok(
      maker.events.some(
        (event) => event.type === 'notice' && event.text.includes('good.example/a:v1'),
      ),
    )
  })

  it('says at the beginning that all registries refuse, but not that some do or are down', async () => {
    const codes = new Map<string, RegistryErrorCode>()
    const { client } = recordingClient(({ registry }) => {
      const code = codes.get(registry)
      if (code !== undefined) throw new RegistryError(code, registry)
    })
    const names = ['one.example/a:v1', 'two.example/a:v1']
    const exporter = new RegistryExporter(
      { format: FORMAT_DEFAULT, names, pushByDigest: false },
      async () => client,
    )
    const { signal } = new AbortController()
    codes.set('one.example', 'denied')
    await exporter.check(signal)
    codes.set('two.example', 'registry-unreachable')
    await exporter.check(signal)
    codes.set('two.example', 'not-found')
    await assert.rejects(exporter.check(signal), /one\.example/)
  })

  it('lets the other repositories have theirs when one takes no layer', async () => {
    const { client, calls } = recordingClient((place: Reference) => {
      if (place.repository === 'a') throw new Error('no')
    })
    const exporter = new RegistryExporter(
      { format: FORMAT_DEFAULT, names: NAMES, pushByDigest: false },
      async () => client,
    )
    const result = await maker.result([[{ name: 'a', content: 'a' }]])
    await assert.rejects(
      exporter.export(result, maker.services, new AbortController().signal),
      /no/,
    )
    assert.ok(calls.some(({ place }) => formatReference(place) === 'reg.example/b:v1'))
    const mounts = calls.flatMap(({ mountFrom }) => mountFrom ?? [])
    assert.deepEqual(mounts, [], 'nothing is mounted from where it could not be pushed')
  })

  it('does not download a base layer that the registry can mount', async () => {
    const { client } = recordingClient()
    const exporter = new RegistryExporter(
      { format: FORMAT_DEFAULT, names: NAMES.slice(0, 1), pushByDigest: false },
      async () => client,
    )
    const services = {
      ...maker.services,
      ensureBlob: () => Promise.reject(new Error('downloaded')),
    }
    await exporter.export(
      await maker.result([[{ name: 'a', content: 'a' }]]),
      services,
      new AbortController().signal,
    )
  })
})
