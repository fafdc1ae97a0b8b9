import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Lab } from './lab/lab.ts'

describe('several outputs of one build', () => {
  it('are told by the image that is written, not by the files beside it', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    const metadata = join(lab.dir, 'metadata.json')
    const layout = join(lab.dir, 'layout')
    const files = ['-o', join(lab.dir, 'files')]
    const image = ['-o', `type=oci,dest=${layout},tar=false,name=a:1,compression=zstd`]
    for (const outputs of [
      [...files, ...image],
      [...image, ...files],
    ]) {
      await lab.build([...outputs, '--metadata-file', metadata, context])
      const told = JSON.parse(await readFile(metadata, 'utf8'))
      const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8'))
      assert.equal(told['containerimage.digest'], index.manifests[0].digest)
      assert.equal(told['containerimage.descriptor'].size, index.manifests[0].size)
      assert.equal(told['image.name'], 'docker.io/library/a:1')
    }
  })
})
