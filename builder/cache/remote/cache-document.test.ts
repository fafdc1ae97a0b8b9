import assert from 'node:assert/strict'
import { digestOf } from '../../../registry-client/oci/index.ts'
import { cacheKeyOf, type CopyInputs } from '../../solver/cache-key.ts'
import { diffIdOf } from '../testing/memory-cache.ts'
import { decodeCacheDocument, encodeCacheDocument } from './cache-document.ts'

const inputs: CopyInputs = {
  kind: 'copy',
  parent: 'scratch',
  dest: '/',
  destIsDirectory: true,
  chown: undefined,
  chmod: undefined,
  parents: false,
  exclude: undefined,
  unpack: ['none'],
  epochSec: undefined,
  sources: [{ pattern: 'a', content: digestOf('a') }],
}
const createdAt = '2026-01-02T03:04:05.678Z'
const document = {
  diffIds: [diffIdOf('1')],
  steps: [
    { key: cacheKeyOf(inputs), diffId: diffIdOf('1'), createdAt, inputs },
    { key: digestOf('run'), diffId: diffIdOf('2'), createdAt, inputs: undefined },
  ],
  aliases: [{ alias: digestOf('alias'), key: cacheKeyOf(inputs) }],
}

describe('the document of a remote cache', () => {
  it('says after reading what was written', () => {
    const read = decodeCacheDocument(encodeCacheDocument(document))
    assert.deepEqual(
      new Set(read.steps.map(({ key }) => key)),
      new Set(document.steps.map(({ key }) => key)),
    )
    const copy = read.steps.find(({ key }) => key === cacheKeyOf(inputs))
    assert.ok(copy?.inputs !== undefined)
    assert.equal(cacheKeyOf(copy.inputs), copy.key)
    assert.deepEqual([read.diffIds, read.aliases], [document.diffIds, document.aliases])
  })

  it('is the same whatever the order of the steps', () => {
    const turned = { ...document, steps: document.steps.toReversed() }
    assert.equal(encodeCacheDocument(turned), encodeCacheDocument(document))
  })

  it('is refused whole when anything in it is not what it should be', () => {
    const text = encodeCacheDocument(document)
    const changes: readonly [string, string][] = [
      ['"keyVersion":1', '"keyVersion":999'],
      [digestOf('run'), 'sha256:nonsense'],
      [diffIdOf('2'), '../../etc/passwd'],
      [createdAt, 'yesterday'],
      // Inputs under the key of another step.
      ['"dest":"/"', '"dest":"/etc"'],
      ['"kind":"copy"', '"kind":"run"'],
      ['"diffIds":[', '"diffIds":7,"x":['],
    ]
    for (const [from, to] of changes) {
      assert.ok(text.includes(from), from)
      assert.throws(() => decodeCacheDocument(text.replace(from, to)), Error, to)
    }
    assert.throws(() => decodeCacheDocument('[]'), /no object/)
    assert.throws(() => decodeCacheDocument('{'), SyntaxError)
  })
})
