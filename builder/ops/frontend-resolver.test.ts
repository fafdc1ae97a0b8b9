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
    const resolver = frontendResolver({
      ...{ images, namedContexts: contexts, isMultiPlatform: false },
      epochOf: async () => undefined,
    })
    const platform = { os: 'linux', architecture: 'amd64' }
    assert.deepEqual(await resolver.resolveContext('empty', platform, never), { kind: 'scratch' })
    await assert.rejects(resolver.resolveContext('other', platform, never))
    assert.deepEqual(asked, ['a/scratch'])
  })

  it('has steps that say for what, as BuildKit does: a platform where there are several, a context', async () => {
    const asked: string[] = []
    const images: Pick<ImageResolver, 'resolve' | 'resolveLayout'> = {
      resolve: (reference, _platform, _signal, label) => {
        asked.push(`[${label}] ${reference}`)
        return Promise.reject(new Error('no registry here'))
      },
      resolveLayout: ({ path }, _platform, _signal, label) => {
        asked.push(`[${label}] ${path}`)
        return Promise.reject(new Error('no layout here'))
      },
    }
    const namedContexts = new Map([
      ['base', { kind: 'image', reference: 'a' }],
      ['there', { kind: 'oci-layout', path: '/l', reference: undefined }],
    ] as const)
    const platform = { os: 'linux', architecture: 'arm', variant: 'v7' }
    for (const isMultiPlatform of [false, true]) {
      const parts = { images, namedContexts, isMultiPlatform, epochOf: async () => undefined }
      const resolver = frontendResolver(parts)
      await assert.rejects(resolver.resolveImage('b', platform, never))
      await assert.rejects(resolver.resolveContext('base', platform, never))
      await assert.rejects(resolver.resolveContext('there', platform, never))
    }
    assert.deepEqual(asked, [
      '[internal] b',
      '[context base] a',
      '[context there] /l',
      '[linux/arm/v7 internal] b',
      '[context base] a',
      '[context there] /l',
    ])
  })
})
