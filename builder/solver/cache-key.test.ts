import assert from 'node:assert/strict'
import fc from 'fast-check'
import { hashValue, type KeyValue } from './canonical.ts'
import {
  aliasKeyOf,
  cacheKeyOf,
  type CopyInputs,
  type KeyMount,
  type RunInputs,
} from './cache-key.ts'

const cache: KeyMount = {
  type: 'cache',
  target: '/c',
  isReadonly: false,
  isDefault: true,
  initial: undefined,
}

const run: RunInputs = {
  kind: 'run',
  parent: 'scratch',
  platform: 'linux/amd64',
  args: ['/bin/sh', '-c', 'make'],
  env: ['PATH=/bin', 'A=1'],
  cwd: '/src',
  user: '',
  hostname: 'buildkitsandbox',
  extraHosts: [],
  network: 'default',
  security: 'sandbox',
  ulimits: [],
  shmSizeBytes: undefined,
  cgroupParent: undefined,
  mounts: [],
  scripts: [],
  devices: [],
}

const copy: CopyInputs = {
  kind: 'copy',
  parent: 'scratch',
  dest: '/a',
  destIsDirectory: false,
  chown: undefined,
  chmod: undefined,
  parents: false,
  exclude: undefined,
  unpack: ['never'],
  epochSec: undefined,
  sources: [{ pattern: 'a', content: 'sha256:00' }],
}

describe('cacheKeyOf', () => {
  it('keeps its values: a change here makes every cache of every user useless and needs a new KEY_VERSION', () => {
    assert.deepEqual(
      [
        cacheKeyOf(run),
        cacheKeyOf(copy),
        aliasKeyOf({ parent: 'scratch', definition: { dest: '/' }, sources: [] }),
      ],
      GOLDEN,
    )
  })

  it('differs for every field of a RUN', () => {
    const changes: Partial<RunInputs>[] = [
      { parent: 'sha256:1' },
      { platform: 'linux/arm64' },
      { args: ['/bin/sh', '-c', 'make '] },
      { env: ['A=1', 'PATH=/bin'] },
      { cwd: '/' },
      { user: 'app' },
      { hostname: 'x' },
      { extraHosts: ['db'] },
      { network: 'none' },
      { security: 'insecure' },
      { ulimits: ['nofile=1:1'] },
      { shmSizeBytes: 1 },
      { cgroupParent: 'x' },
      { mounts: [cache] },
      { mounts: [{ ...cache, isReadonly: true }] },
      { mounts: [{ ...cache, isDefault: false }] },
      { mounts: [{ ...cache, initial: '1:1 755' }] },
      { scripts: [{ name: 'a', content: 'b' }] },
      { devices: ['d'] },
    ]
    const keys = changes.map((change) => cacheKeyOf({ ...run, ...change }))
    assert.equal(new Set([cacheKeyOf(run), ...keys]).size, changes.length + 1)
  })

  it('tells a COPY with --exclude from one without, whatever it leaves out', () => {
    assert.notEqual(cacheKeyOf({ ...copy, exclude: ['x'] }), cacheKeyOf(copy))
  })

  it('does not depend on how the source of a COPY was written, only on what it selected', () => {
    const other = { ...copy, sources: [{ pattern: './a', content: 'sha256:00' }] }
    assert.equal(cacheKeyOf(other), cacheKeyOf(copy))
  })
})

describe('hashValue', () => {
  it('tells apart what a join would confuse', () => {
    const values: KeyValue[] = [
      ['a', 'bc'],
      ['ab', 'c'],
      ['abc'],
      'abc',
      [['a'], 'bc'],
      ['a', ['bc']],
      { a: 'bc' },
      ['1'],
      [1],
      [true],
      ['true'],
      [],
      [undefined],
      [''],
      '',
    ]
    assert.equal(new Set(values.map(hashValue)).size, values.length)
  })

  it('does not depend on the order of fields, and absent is undefined', () => {
    assert.equal(hashValue({ a: 1, b: 2 }), hashValue({ b: 2, a: 1, c: undefined }))
  })

  it('never gives two different lists of texts one hash', () => {
    const texts = fc.array(fc.string({ unit: 'binary' }))
    fc.assert(
      fc.property(texts, texts, (a, b) => {
        const isSame = JSON.stringify(a) === JSON.stringify(b)
        return isSame === (hashValue(a) === hashValue(b))
      }),
      { numRuns: 50 },
    )
  })
})

const GOLDEN = [
  'sha256:5d3468642ff0dcebda8d371d2ec91ccde2f4e7b6b9aa3064c96bee35482c18d9',
  'sha256:5d1fe5107b7072d0ce2eb0d0a1bcaae1c23c892c2f2b60e45c6fcf4e762d9078',
  'sha256:94763dc6be073e41f72b4850ea16bbd89cf58a10ae99529d208cbd46e1f5d33e',
]
