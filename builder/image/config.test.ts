import assert from 'node:assert/strict'
import { type DiffId, parseDiffId } from '../../registry-client/oci/index.ts'
import { assembleConfig, type ConfigParts, encodeConfig } from './config.ts'
import { fitBaseHistory } from './history.ts'

const T0 = '2020-01-01T00:00:00Z'
const T1 = '2024-01-01T00:00:00Z'
const T2 = '2025-01-01T00:00:00Z'

function diffId(digit: string): DiffId {
  const parsed = parseDiffId(`sha256:${digit.repeat(64)}`)
  assert.ok(parsed !== undefined)
  return parsed
}

const metadata = (createdBy: string) => ({
  createdBy,
  comment: 'buildkit.dockerfile.v0',
  author: undefined,
  layer: undefined,
})
const layer = (createdBy: string, created: string) => ({
  ...metadata(createdBy),
  layer: { created },
})

const parts: ConfigParts = {
  stage: {
    architecture: 'amd64',
    os: 'linux',
    config: { Env: ['A=1'] },
    'x.unknown': { kept: true },
  },
  baseHistory: [{ created: T0, created_by: 'base' }],
  baseCreated: T0,
  baseLayerCount: 1,
  diffIds: [diffId('a'), diffId('b'), diffId('c')],
  history: [
    metadata('ENV A=1'),
    layer('RUN a', T1),
    metadata('CMD x'),
    layer('RUN b', T2),
    metadata('USER u'),
  ],
  epochSec: undefined,
}

describe('assembleConfig', () => {
  it('gives entries without a layer the time of the first new layer, later of the layer before', () => {
    const { history, created } = assembleConfig(parts)
    assert.deepEqual(
      history.map((entry) => entry.created),
      [T0, T1, T1, T1, T2, T2],
    )
    assert.equal(created, T2)
    assert.deepEqual(
      history.map((entry) => entry.empty_layer === true),
      [false, true, false, true, false, true],
    )
  })

  it('gives new entries the epoch, past or to come, and leaves those of the base', () => {
    for (const epoch of [T1, '2099-01-01T00:00:00Z']) {
      const { history, created } = assembleConfig({ ...parts, epochSec: Date.parse(epoch) / 1000 })
      assert.deepEqual(
        history.map((entry) => entry.created),
        [T0, epoch, epoch, epoch, epoch, epoch],
      )
      assert.equal(created, epoch)
    }
  })

  it('gives the epoch to an image that only has other settings than its base', () => {
    const epoch = '2099-01-01T00:00:00Z'
    const history = [metadata('ENV A=1')]
    const epochSec = Date.parse(epoch) / 1000
    const image = assembleConfig({ ...parts, diffIds: [diffId('a')], history, epochSec })
    assert.deepEqual(
      [image.created, ...image.history.map((entry) => entry.created)],
      [epoch, T0, epoch],
    )
  })

  // A base without times took that of the build: equal inputs with an epoch gave unequal images.
  it('gives the epoch to entries of a base without a time', () => {
    const baseHistory = [{ created_by: 'base' }]
    const epochSec = Date.parse(T0) / 1000
    const { history } = assembleConfig({ ...parts, baseHistory, baseCreated: undefined, epochSec })
    assert.deepEqual([...new Set(history.map((entry) => entry.created))], [T0])
  })

  it('takes the time of the base when nothing new has one', () => {
    const history = [metadata('ENV A=1')]
    assert.equal(assembleConfig({ ...parts, diffIds: [diffId('a')], history }).created, T0)
  })

  it('keeps keys that it does not know', () => {
    assert.deepEqual(assembleConfig(parts)['x.unknown'], { kept: true })
  })

  it('gives equal bytes for equal parts', () => {
    const one = encodeConfig(assembleConfig(parts), true)
    const { config, os, architecture, ...rest } = parts.stage
    const other = encodeConfig(
      assembleConfig({ ...parts, stage: { ...rest, os, config, architecture } }),
      true,
    )
    assert.equal(one.descriptor.digest, other.descriptor.digest)
  })
})

describe('fitBaseHistory', () => {
  it('makes as many entries with a layer as there are layers', () => {
    const lost = fitBaseHistory([{ created_by: 'a', empty_layer: true }], 2)
    assert.equal(lost.filter((entry) => entry.empty_layer !== true).length, 2)
    const claimed = fitBaseHistory([{ created_by: 'a' }, { created_by: 'b' }], 1)
    assert.deepEqual(
      claimed.map((entry) => entry.empty_layer === true),
      [false, true],
    )
  })
})
