import assert from 'node:assert/strict'
import { ImageMaker } from './testing/image-maker.ts'
import { tellManifests } from './told-facts.ts'

describe('tellManifests', () => {
  it('tells of each image, then of the index, as BuildKit does', async () => {
    await using maker = await ImageMaker.open()
    const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }))
    const result = await maker.result([[]], platforms)
    const told: string[] = []
    tellManifests({ progress: (part) => told.push(part) }, result)
    const [one, two] = result.images
    assert.deepEqual(told, [
      `exporting manifest ${one?.manifest.digest}`,
      `exporting config ${one?.configDescriptor.digest}`,
      `exporting manifest ${two?.manifest.digest}`,
      `exporting config ${two?.configDescriptor.digest}`,
      `exporting manifest list ${result.index?.digest}`,
    ])
  })
})
