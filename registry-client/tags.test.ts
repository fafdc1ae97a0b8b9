import assert from 'node:assert/strict'
import type { RegistryClient } from './client.ts'
import { localPlatform } from './oci/index.ts'
import { FakeRegistry } from './testing/fake-registry.ts'
import { referenceTo, rejectsWith, testClient } from './testing/test-client.ts'

const signal = new AbortController().signal

describe('tags', () => {
  let registry: FakeRegistry
  let client: RegistryClient

  beforeEach(async () => {
    registry = await FakeRegistry.start({ pageSizeMax: 2 })
    client = testClient()
    for (const tag of ['a', 'b', 'c', 'd', 'e']) {
      registry.repository('app').addImage({ layers: [], platform: localPlatform(), tag })
    }
  })

  afterEach(async () => {
    await client[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })

  it('are listed over all pages', async () => {
    const tags = await client.listTags(referenceTo(registry, 'app'), { signal })
    assert.deepEqual(tags, ['a', 'b', 'c', 'd', 'e'])
    assert.equal(registry.requests.length, 3)
  })

  it('are none when the registry says null', async () => {
    registry.script({ act: { kind: 'reply', status: 200, body: '{"name":"app","tags":null}' } })
    assert.deepEqual(await client.listTags(referenceTo(registry, 'app'), { signal }), [])
  })

  it('are no more than what may be a tag: a list may hold escape sequences', async () => {
    const body = JSON.stringify({ tags: ['ok', '\u001b[2J', '', 7, '-x', 'v1.0_a'] })
    registry.script({ act: { kind: 'reply', status: 200, body } })
    assert.deepEqual(await client.listTags(referenceTo(registry, 'app'), { signal }), [
      'ok',
      'v1.0_a',
    ])
  })

  it('end when pages point to themselves', async () => {
    const link = '</v2/app/tags/list>; rel="next"'
    registry.script({ times: 99, act: { kind: 'headers', headers: { link } } })
    const work = client.listTags(referenceTo(registry, 'app'), { signal })
    await rejectsWith(
      work,
      'bad-response',
      /^could not list tags of .*: .* lists tags without end$/,
    )
    assert.ok(registry.requests.length < 4)
  })

  it('are not asked for elsewhere, wherever a page points', async () => {
    const link = '<http://169.254.169.254/v2/app/tags/list?last=d>; rel="next"'
    registry.script({ act: { kind: 'headers', headers: { link } } })
    await client.listTags(referenceTo(registry, 'app'), { signal })
    assert.equal(registry.requestLines[1], 'GET /v2/app/tags/list?last=d')
  })

  it('are deleted one by one', async () => {
    await client.deleteManifest(referenceTo(registry, 'app:c'), { signal })
    assert.equal(registry.repository('app').tags.has('c'), false)
    const work = client.deleteManifest(referenceTo(registry, 'app:c'), { signal })
    await rejectsWith(work, 'not-found', /^could not delete .*app:c: .*MANIFEST_UNKNOWN/)
  })

  it('are said not to be deleted where a registry takes a tag for a broken digest', async () => {
    const body = '{"errors":[{"code":"DIGEST_INVALID","message":"did not match"}]}'
    registry.script({ method: 'DELETE', act: { kind: 'reply', status: 400, body } })
    const work = client.deleteManifest(referenceTo(registry, 'app:c'), { signal })
    await rejectsWith(work, 'unsupported', /removes no single tags: .* 400 .*DIGEST_INVALID/)
  })
})
