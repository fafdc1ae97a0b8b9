import assert from 'node:assert/strict'
import fc from 'fast-check'
import { CONFIG_BYTES_MAX, parseImageConfig, serializeImageConfig } from './config-json.ts'
import { digestOf } from './digest.ts'
import { OciError } from './errors.ts'

function parse(value: unknown): ReturnType<typeof parseImageConfig> {
  return parseImageConfig(Buffer.from(JSON.stringify(value)))
}

describe('parseImageConfig', () => {
  it('counts null members as absent', () => {
    const config = parse({
      architecture: 'amd64',
      os: 'linux',
      config: { Env: null, Cmd: null, Labels: null, Healthcheck: null, Volumes: null },
      rootfs: { type: 'layers', diff_ids: null },
      history: null,
    })
    assert.deepEqual(config.config, {})
    assert.deepEqual(config.history, [])
    assert.deepEqual(config.rootfs, { type: 'layers', diff_ids: [] })
  })

  it('takes a config without config, rootfs and history', () => {
    assert.deepEqual(parse({ config: null }).config, {})
  })

  it('keeps keys that it does not know, at the top and in config', () => {
    const config = parse({
      container_config: { x: 1 },
      config: { Hostname: 'h', Tty: true, OnBuild: ['RUN x'] },
    })
    assert.deepEqual(config['container_config'], { x: 1 })
    assert.deepEqual(config.config, { Hostname: 'h', Tty: true, OnBuild: ['RUN x'] })
    const written: unknown = JSON.parse(Buffer.from(serializeImageConfig(config)).toString())
    assert.deepEqual(written, { ...config })
  })

  it('keeps a key named __proto__ a key', () => {
    const config = parseImageConfig(
      Buffer.from('{"config":{"Labels":{"__proto__":"x"}},"__proto__":{"os":"evil"}}'),
    )
    assert.equal(config.os, '')
    assert.deepEqual(Object.keys(config.config.Labels ?? {}), ['__proto__'])
  })

  it('names the place of a value of the wrong type', () => {
    assert.throws(
      () => parse({ config: { Env: ['a=b', 1] } }),
      /image config\.config\.Env\[1\] must be a string, not 1/,
    )
    assert.throws(
      () => parse({ rootfs: { diff_ids: ['sha256:zz'] } }),
      /diff_ids\[0\] must be a sha256 digest/,
    )
    assert.throws(
      () => parse({ config: [] }),
      (error) => error instanceof OciError && error.code === 'bad-config',
    )
  })

  it('refuses a huge config before parsing it', () => {
    assert.throws(
      () => parseImageConfig(new Uint8Array(CONFIG_BYTES_MAX + 1)),
      /more than the \d+ allowed/,
    )
  })

  it('throws nothing but bad-config, whatever the JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (config, history) => {
        try {
          const parsed = parse({ config, history })
          assert.deepEqual(parseImageConfig(serializeImageConfig(parsed)), parsed)
        } catch (error) {
          assert.ok(error instanceof OciError && error.code === 'bad-config', String(error))
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('serializeImageConfig', () => {
  it('gives equal bytes for equal configs, however they came about', () => {
    const one = parse({
      os: 'linux',
      architecture: 'amd64',
      config: { Labels: { b: '1', a: '2' }, Cmd: ['x'], Env: ['e=1'] },
    })
    const two = parse({
      config: { Env: ['e=1'], Cmd: ['x'], Labels: { a: '2', b: '1' } },
      architecture: 'amd64',
      os: 'linux',
    })
    assert.equal(digestOf(serializeImageConfig(one)), digestOf(serializeImageConfig(two)))
  })

  it('leaves out members that hold nothing, as Go does, but not what it does not know', () => {
    const config = parse({
      author: '',
      config: {
        ...{ User: '', Env: [], Cmd: [], Labels: {}, ArgsEscaped: false, Tty: false },
        Healthcheck: { Test: [], Interval: 0 },
      },
      history: [{ created_by: '', empty_layer: false }],
    })
    const written: unknown = JSON.parse(Buffer.from(serializeImageConfig(config)).toString())
    assert.deepEqual(written, {
      architecture: '',
      os: '',
      config: { Tty: false, Healthcheck: {} },
      rootfs: { type: 'layers', diff_ids: [] },
      history: [{}],
    })
  })

  it('writes keys in the order of the specification and unknown ones after them', () => {
    const text = Buffer.from(
      serializeImageConfig(
        parse({ zebra: 1, os: 'linux', created: 'now', architecture: 'amd64', ant: 2 }),
      ),
    ).toString()
    assert.deepEqual(Object.keys(JSON.parse(text)), [
      'created',
      'architecture',
      'os',
      'config',
      'rootfs',
      'history',
      'ant',
      'zebra',
    ])
  })
})
