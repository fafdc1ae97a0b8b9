import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestHex, digestOf, OCI_INDEX, OCI_MANIFEST } from '../../registry-client/oci/index.ts'
import { OciLayout } from './oci-layout.ts'

describe('OciLayout', () => {
  let directory = ''
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-layout-'))
    await mkdir(join(directory, 'blobs/sha256'), { recursive: true })
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  async function put(content: object) {
    const text = JSON.stringify(content)
    const digest = digestOf(text)
    await writeFile(join(directory, 'blobs/sha256', digestHex(digest)), text)
    return { digest, size: text.length }
  }

  it('finds by digest what its index does not list: a manifest of an image for several platforms', async () => {
    const config = { mediaType: 'application/vnd.oci.image.config.v1+json', ...(await put({})) }
    const image = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [] }
    const manifest = { mediaType: OCI_MANIFEST, ...(await put(image)) }
    const all = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [manifest] }
    const entry = { mediaType: OCI_INDEX, ...(await put(all)) }
    const index = { schemaVersion: 2, manifests: [entry] }
    await writeFile(join(directory, 'index.json'), JSON.stringify(index))

    const layout = new OciLayout(directory)
    assert.deepEqual(await layout.find(`@${manifest.digest}`), {
      mediaType: OCI_MANIFEST,
      digest: manifest.digest,
      sizeBytes: manifest.size,
    })
    assert.equal((await layout.find(`:v1@${entry.digest}`)).mediaType, OCI_INDEX)
    await assert.rejects(layout.find(`@${digestOf('none')}`), { code: 'image-missing' })
    await assert.rejects(layout.find(`@${config.digest}`), { code: 'layout-invalid' })
    await writeFile(layout.blobPath(manifest.digest), '{}')
    await assert.rejects(layout.find(`@${manifest.digest}`), { code: 'layout-invalid' })
    // A blob that cannot be read is not one that is missing.
    await rm(layout.blobPath(manifest.digest))
    await symlink(digestHex(manifest.digest), layout.blobPath(manifest.digest))
    await assert.rejects(layout.find(`@${manifest.digest}`), { code: 'layout-invalid' })
  })
})
