import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Descriptor } from './descriptor.ts'
import { digestOf } from './digest.ts'
import { OciError } from './errors.ts'
import {
  MANIFEST_BYTES_MAX,
  parseManifest,
  serializeIndex,
  serializeManifest,
} from './manifest-json.ts'
import {
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER_GZIP,
  OCI_MANIFEST,
} from './media-type.ts'

const CONFIG: Descriptor = { mediaType: OCI_CONFIG, digest: digestOf('config'), sizeBytes: 6 }
const LAYER: Descriptor = { mediaType: OCI_LAYER_GZIP, digest: digestOf('layer'), sizeBytes: 5 }

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

function rawDescriptor({ mediaType, digest, sizeBytes }: Descriptor): object {
  return { mediaType, digest, size: sizeBytes }
}

const IMAGE = {
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: rawDescriptor(CONFIG),
  layers: [rawDescriptor(LAYER)],
}

function refuses(bytes: Uint8Array, type: string | undefined, reason: RegExp): void {
  assert.throws(
    () => parseManifest(bytes, type),
    (error) => {
      assert.ok(error instanceof OciError)
      assert.equal(error.code, 'bad-manifest')
      assert.match(error.message, reason)
      return true
    },
  )
}

describe('serializeManifest', () => {
  it('gives the same bytes for the same content, however annotations were added', () => {
    const parts = { mediaType: OCI_MANIFEST, config: CONFIG, layers: [LAYER] }
    const one = serializeManifest({ ...parts, annotations: { b: '2', a: '1' } })
    const two = serializeManifest({ annotations: { a: '1', b: '2' }, ...parts })
    assert.equal(one.digest, two.digest)
    assert.equal(one.digest, digestOf(one.bytes))
  })

  it('writes keys in the order of the specification', () => {
    const { bytes } = serializeManifest({
      mediaType: OCI_MANIFEST,
      config: CONFIG,
      layers: [LAYER],
      annotations: { k: 'v' },
    })
    const text = Buffer.from(bytes).toString()
    assert.deepEqual(Object.keys(JSON.parse(text)), [
      'schemaVersion',
      'mediaType',
      'config',
      'layers',
      'annotations',
    ])
    assert.match(text, /"size": 6/)
  })

  it('is read back as it was', () => {
    const manifest = {
      mediaType: OCI_MANIFEST,
      config: CONFIG,
      layers: [LAYER],
      annotations: { k: 'v' },
    }
    assert.deepEqual(parseManifest(serializeManifest(manifest).bytes, undefined), {
      kind: 'manifest',
      manifest,
    })
  })
})

describe('serializeIndex', () => {
  it('is read back as it was, platforms included', () => {
    const platform = {
      os: 'windows',
      architecture: 'arm',
      variant: 'v7',
      osVersion: '10.0',
      osFeatures: ['win32k'],
    }
    const index = {
      mediaType: OCI_INDEX,
      manifests: [{ ...LAYER, mediaType: OCI_MANIFEST, platform, annotations: { a: 'b' } }],
    }
    assert.deepEqual(parseManifest(serializeIndex(index).bytes, OCI_INDEX), {
      kind: 'index',
      index,
    })
  })
})

describe('parseManifest', () => {
  it('goes by the content type when the body names none', () => {
    const { mediaType: _mediaType, ...untyped } = IMAGE
    const parsed = parseManifest(json(untyped), `${DOCKER_MANIFEST}; charset=utf-8`)
    assert.equal(parsed.kind === 'manifest' && parsed.manifest.mediaType, DOCKER_MANIFEST)
  })

  it('goes by the body when the content type says nothing', () => {
    assert.equal(parseManifest(json(IMAGE), 'text/plain').kind, 'manifest')
    assert.equal(parseManifest(json({ schemaVersion: 2, manifests: [] }), undefined).kind, 'index')
  })

  it('takes null layers and annotations, as Go writes them', () => {
    const parsed = parseManifest(json({ ...IMAGE, layers: null, annotations: null }), OCI_MANIFEST)
    assert.deepEqual(parsed.kind === 'manifest' && parsed.manifest.layers, [])
  })

  it('refuses a body that could be read as two kinds', () => {
    refuses(json({ ...IMAGE, manifests: [] }), OCI_MANIFEST, /both layers and manifests/)
    refuses(json(IMAGE), OCI_INDEX, /was served as/)
    refuses(json({ ...IMAGE, mediaType: OCI_INDEX }), OCI_INDEX, /the other kind/)
    const { mediaType: _mediaType, ...untyped } = IMAGE
    refuses(json(untyped), OCI_INDEX, /the other kind/)
  })

  it('refuses schema 1 with what to do', () => {
    refuses(
      json({ schemaVersion: 1, fsLayers: [] }),
      undefined,
      /schema version 1.*push the image again/,
    )
    refuses(
      json({}),
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
      /schema version 1/,
    )
  })

  it('refuses what is not JSON, not UTF-8, too large or too deep', () => {
    refuses(Buffer.from('<html>'), undefined, /not valid JSON/)
    refuses(Buffer.from([0xff, 0xfe]), undefined, /not valid JSON/)
    refuses(new Uint8Array(MANIFEST_BYTES_MAX + 1), undefined, /more than/)
    refuses(Buffer.from(`{"a":${'['.repeat(100)}${']'.repeat(100)}}`), undefined, /levels deep/)
  })

  it('names the place of a value that is wrong', () => {
    const layers = [rawDescriptor(LAYER), { ...rawDescriptor(LAYER), digest: '../../etc/passwd' }]
    refuses(
      json({ ...IMAGE, layers }),
      undefined,
      /manifest\.layers\[1\]\.digest must be a sha256 digest/,
    )
    refuses(
      json({ ...IMAGE, config: { ...rawDescriptor(CONFIG), size: -1 } }),
      undefined,
      /config\.size must not be negative/,
    )
    refuses(
      json({ ...IMAGE, config: { ...rawDescriptor(CONFIG), size: 1e300 } }),
      undefined,
      /config\.size must be a whole number/,
    )
    refuses(json({ ...IMAGE, config: undefined }), undefined, /manifest\.config is missing/)
  })

  it('takes no member from the prototype', () => {
    refuses(
      Buffer.from('{"__proto__":{"schemaVersion":2,"layers":[]}}'),
      undefined,
      /schemaVersion is missing/,
    )
  })

  it('throws nothing but bad-manifest, whatever the bytes', () => {
    const value = fc.json()
    const mutated = fc.record(
      { ...Object.fromEntries(Object.keys(IMAGE).map((key) => [key, fc.jsonValue()])) },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          value.map((text) => Buffer.from(text)),
          mutated.map((one) => json({ ...IMAGE, ...one })),
        ),
        (bytes) => {
          try {
            parseManifest(bytes, undefined)
          } catch (error) {
            assert.ok(error instanceof OciError && error.code === 'bad-manifest', String(error))
          }
        },
      ),
      { numRuns: 1000 },
    )
  })
})
