import assert from 'node:assert/strict'
import { frontendResolver } from './frontend-resolver.ts'
import type { ImageResolver } from './image.ts'

const never = new AbortController().signal

describe('frontendResolver', () => {
  it('gives a named context docker-image://scratch no image', async () => {
    const asked: string[] = []
    const images: Pick<ImageResolver, 'resolve' | 'resolveLayout'> = {
      resolve: (reference) => {
        asked.push(reference)
        return Promise.reject(new Error('no registry here'))
      },
      resolveLayout: () => Promise.reject(new Error('no layout here')),
    }
    const contexts = new Map([
      ['empty', { kind: 'image', reference: 'scratch' }],
      ['other', { kind: 'image', reference: 'a/scratch' }],
    ] as const)
    const resolver = frontendResolver(images, contexts, async () => undefined)
    const platform = { os: 'linux', architecture: 'amd64' }
    assert.deepEqual(await resolver.resolveContext('empty', platform, never), { kind: 'scratch' })
    await assert.rejects(resolver.resolveContext('other', platform, never))
    assert.deepEqual(asked, ['a/scratch'])
  })
})
