import assert from 'node:assert/strict'
import type { RunMount } from '../../frontend/index.ts'
import type { CacheMountRequest } from './cache-mounts.ts'
import type { MountSource } from './mountable.ts'
import { prepareMounts } from './run-mounts.ts'

const signal = new AbortController().signal
const unused = (): Promise<never> => assert.fail('not used')

/** A cache of one id that begins with what another stage has. */
function cacheFrom(from: number): RunMount {
  return {
    ...{ type: 'cache', target: `/c${from}`, cacheId: 'id', sharing: 'locked', from, source: '/' },
    ...{ mode: 0o755, uid: 0, gid: 0, isReadonly: false },
  } as const
}

function stage(content: string): MountSource {
  return { content: unused, beginning: async () => content, layers: unused, writeTo: unused }
}

async function lockOrder(mounts: readonly RunMount[]): Promise<(string | undefined)[]> {
  const asked: (string | undefined)[] = []
  const parts = {
    sources: new Map([1, 2, 3].map((id) => [id, stage(`content ${id}`)])),
    secrets: { value: unused, agentSocket: unused },
    cacheMounts: {
      acquire: async ({ initial }: CacheMountRequest) => {
        asked.push(initial)
        return { directory: '/d', [Symbol.asyncDispose]: async () => {} }
      },
    },
    makeOwned: unused,
  }
  const node = { mounts, scripts: [], env: [], origin: { ignoreCache: false } }
  await using prepared = await prepareMounts(node, parts, signal)
  assert.deepEqual(
    prepared.mounts.map(({ target }) => target),
    mounts.map(({ target }) => target),
  )
  return asked
}

describe('mounts of a RUN', () => {
  it('lock caches of one id in one order, however they are written', async () => {
    const order = await lockOrder([cacheFrom(1), cacheFrom(2), cacheFrom(3)])
    assert.equal(new Set(order).size, 3)
    assert.deepEqual(await lockOrder([cacheFrom(3), cacheFrom(1), cacheFrom(2)]), order)
    assert.deepEqual(await lockOrder([cacheFrom(2), cacheFrom(3), cacheFrom(1)]), order)
  })
})
