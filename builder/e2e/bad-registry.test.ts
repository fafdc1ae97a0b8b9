import assert from 'node:assert/strict'
import { gzipSync } from 'node:zlib'
import { localPlatform } from '../../registry-client/oci/index.ts'
import { FakeRegistry } from '../../registry-client/testing/fake-registry.ts'
import {
  HTPASSWD_ACCOUNT,
  requireRealRegistry,
  startRealRegistry,
} from '../../registry-client/testing/real-registry.ts'
import { assertFails, assertUnharmed } from './lab/assert-fails.ts'
import { Lab } from './lab/lab.ts'

/** A registry with one image whose only layer is `layer`; steps that need its files must download it. */
async function registryWith(layer: Uint8Array): Promise<FakeRegistry> {
  const registry = await FakeRegistry.start()
  const platform = localPlatform()
  registry.repository('team/base').addImage({ layers: [layer], platform, tag: 'v1' })
  return registry
}

/** A build that needs the files of the base, but no privilege. */
async function contextOn(lab: Lab, host: string): Promise<string> {
  return await lab.context({
    Dockerfile: `FROM ${host}/team/base:v1 AS base\nFROM scratch\nCOPY --from=base /etc/x /x\n`,
  })
}

const LAYER = gzipSync(Buffer.alloc(200_000, 'not a tar, but nobody will get so far '))

describe('a registry that serves damaged bytes', function () {
  this.timeout(60_000)

  it('with another digest: the layer is refused, and stays out of the store', async () => {
    await using lab = await Lab.open()
    await using registry = await registryWith(LAYER)
    const bytes = Buffer.from(LAYER)
    bytes[bytes.length - 9] = (bytes[bytes.length - 9] ?? 0) ^ 1
    registry.script({ path: /blobs/, times: Infinity, act: { kind: 'body', bytes } })
    const result = await lab.tsbuild([await contextOn(lab, registry.host)])
    await assertFails(lab, result, 1, /sha256:/, /digest|changed/, /HINT: .*do not use/)
    await assertUnharmed(lab)
  })

  it('with a layer that ends early each time: it is asked for again, then the layer is named', async () => {
    await using lab = await Lab.open()
    await using registry = await registryWith(LAYER)
    const layers = /blobs/
    registry.script({ path: layers, times: Infinity, act: { kind: 'cut-answer', afterBytes: 40 } })
    const result = await lab.tsbuild([await contextOn(lab, registry.host)])
    await assertFails(lab, result, 1, new RegExp(registry.host), /sha256:|connection|ended/)
    assert.ok(registry.requestLines.filter((line) => layers.test(line)).length > 1)
    await assertUnharmed(lab)
  })

  it('with a shorter layer than the manifest says: both sizes are told', async () => {
    await using lab = await Lab.open()
    await using registry = await registryWith(LAYER)
    const bytes = LAYER.subarray(0, 100)
    registry.script({ path: /blobs/, times: Infinity, act: { kind: 'body', bytes } })
    const result = await lab.tsbuild([await contextOn(lab, registry.host)])
    await assertFails(lab, result, 1, /100/, /HINT: .*do not use/)
    await assertUnharmed(lab)
  })

  it('with a layer that is no archive: the layer is named, nothing is unpacked', async () => {
    await using lab = await Lab.open()
    await using registry = await registryWith(LAYER)
    const result = await lab.tsbuild([await contextOn(lab, registry.host)])
    await assertFails(lab, result, 1, /sha256:|blobs/, /tar|archive|diff/)
    await assertUnharmed(lab)
  })
})

describe('a registry that wants a password', function () {
  this.timeout(60_000)
  before(function () {
    requireRealRegistry(this)
  })

  it('refuses a wrong one at login, and a build without one says how to log in', async () => {
    await using lab = await Lab.open()
    await using registry = await startRealRegistry({ htpasswd: true })
    const { username, password } = HTPASSWD_ACCOUNT
    const login = (input: string): ReturnType<Lab['tsbuild']> =>
      lab.tsbuild(['login', '-u', username, '--password-stdin', registry.host], { input })
    const wrong = await login('guess 123\n')
    await assertFails(
      lab,
      wrong,
      1,
      new RegExp(registry.host),
      /user name or password|unauthorized/i,
    )
    assert.doesNotMatch(wrong.text, /guess 123/)
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY . /\n' })
    const push = ['-t', `${registry.host}/team/app:v1`, '--push', context]
    const refused = await lab.tsbuild(push)
    await assertFails(lab, refused, 1, new RegExp(registry.host), /tsbuild login/)
    const right = await login(`${password}\n`)
    assert.equal(right.status, 0, right.text)
    await lab.build(push)
    await assertUnharmed(lab)
  })
})
