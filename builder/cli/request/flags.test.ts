import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { readAnnotation } from './annotations.ts'
import { readCacheExports, readCacheImports, withInlineCache } from './cache-locations.ts'
import { readNamedContexts, readRemote } from './contexts.ts'
import { readCsvFields } from './csv.ts'
import { readEntitlements, readExtraHosts, readNetwork, readUlimits } from './limits.ts'
import { readBuildArgs, readLabels } from './pairs.ts'
import { readPlatforms } from './platform.ts'
import { readTag } from './reference.ts'
import { checkSsh, readSecrets, readSsh } from './secrets.ts'
import { readDurationMs, readShmSizeBytes, readSizeBytes } from './size.ts'
import { refuseSourcePolicy } from './source-policy.ts'

describe('withInlineCache', () => {
  it('adds the inline cache that BUILDKIT_INLINE_CACHE asks for, once', () => {
    const types = (exports: readonly string[], value: string): string[] =>
      withInlineCache(
        readCacheExports(exports, '/'),
        new Map([['BUILDKIT_INLINE_CACHE', value]]),
      ).map(({ type }) => type)
    assert.deepEqual(types([], '1'), ['inline'])
    assert.deepEqual(types(['type=inline'], 'true'), ['inline'])
    assert.deepEqual(types(['type=local,dest=d'], '0'), ['local'])
    assert.deepEqual(withInlineCache([], new Map()), [])
  })
})

describe('readCsvFields', () => {
  it('reads quoted fields', () => {
    assert.deepEqual(readCsvFields('type=local,"dest=out/with,comma"'), [
      'type=local',
      'dest=out/with,comma',
    ])
    assert.deepEqual(readCsvFields('"a""b",'), ['a"b', ''])
  })

  it('refuses quotes in other places', () => {
    for (const text of ['a"b', '"a"b', '"a']) {
      assert.throws(() => readCsvFields(text), { name: 'UsageError' }, text)
    }
  })

  it('gives back what was quoted (property)', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1 }), (fields) => {
        const line = fields.map((field) => `"${field.replaceAll('"', '""')}"`).join(',')
        assert.deepEqual(readCsvFields(line), fields)
      }),
    )
  })
})

describe('values of build flags', () => {
  it('takes a build argument without a value from the environment, and leaves an unset one out', () => {
    const args = readBuildArgs(['A=1', 'B', 'C', 'A=2', 'E=x=y'], { B: 'b' })
    assert.deepEqual(
      [...args],
      [
        ['A', '2'],
        ['B', 'b'],
        ['E', 'x=y'],
      ],
    )
  })

  it('gives a label without a value an empty one', () => {
    assert.deepEqual(
      [...readLabels(['a', 'b=c=d'])],
      [
        ['a', ''],
        ['b', 'c=d'],
      ],
    )
  })

  it('normalises platforms and tells repetitions apart', () => {
    assert.deepEqual(readPlatforms(['linux/x86_64,linux/arm64/v8', 'linux/amd64']), {
      platforms: [
        { os: 'linux', architecture: 'amd64' },
        { os: 'linux', architecture: 'arm64' },
      ],
      repeatedPlatforms: [{ os: 'linux', architecture: 'amd64' }],
    })
    assert.equal(readPlatforms([]).platforms.length, 1)
    for (const empty of ['', 'linux/amd64,', ','])
      assert.throws(() => readPlatforms([empty]), { name: 'UsageError' }, JSON.stringify(empty))
    assert.throws(() => readPlatforms(['linux/am d64/x/y/z']), {
      name: 'UsageError',
      message: /platform/,
    })
  })

  it('normalises tags and refuses digests', () => {
    assert.equal(readTag('app:v1'), 'docker.io/library/app:v1')
    assert.throws(() => readTag(`app@sha256:${'a'.repeat(64)}`), /has a digest/)
    assert.throws(() => readTag('UPPER/case:x y'), { name: 'UsageError' })
  })

  it('reads limits as docker does', () => {
    assert.deepEqual(readUlimits(['nofile=10:20', 'core=0', 'nofile=5']), [
      { name: 'nofile', soft: 5, hard: 5 },
      { name: 'core', soft: 0, hard: 0 },
    ])
    assert.throws(() => readUlimits(['frob=1']), /invalid ulimit type: frob/)
    assert.throws(() => readUlimits(['nofile=20:10']), /above the hard limit/)
  })

  it('reads host entries in every form', () => {
    assert.deepEqual(readExtraHosts(['a=1.2.3.4,b:5.6.7.8', 'c=[::1]', 'd:::1']), [
      { name: 'a', address: '1.2.3.4' },
      { name: 'b', address: '5.6.7.8' },
      { name: 'c', address: '::1' },
      { name: 'd', address: '::1' },
    ])
    assert.throws(() => readExtraHosts(['a=nowhere']), /invalid IP address/)
    assert.throws(() => readExtraHosts(['a\nb=1.2.3.4']), /must be name=address/)
  })

  it('grants network.host with --network host and nothing unknown', () => {
    assert.deepEqual(readEntitlements([], readNetwork('host')), ['network.host'])
    assert.throws(() => readEntitlements(['root'], 'default'), { name: 'UsageError' })
    assert.throws(() => readNetwork('bridge'), /not supported/)
  })

  it('reads sizes and durations', () => {
    assert.equal(readSizeBytes('64m', 'shm-size'), 64 * 1024 * 1024)
    assert.equal(readSizeBytes('1.5GiB', 'x'), 1.5 * 2 ** 30)
    assert.throws(() => readSizeBytes('lots', 'shm-size'), /--shm-size/)
    assert.equal(readShmSizeBytes('1m'), 1024 * 1024)
    for (const byDefault of ['0', '0m', undefined]) {
      assert.equal(readShmSizeBytes(byDefault), undefined)
    }
    assert.equal(readDurationMs('1h30m', 'filter'), 5_400_000)
    assert.throws(() => readDurationMs('1h and more', 'filter'), { name: 'UsageError' })
  })

  it('reads annotations with types and platforms', () => {
    assert.deepEqual(readAnnotation('k=v:w'), [
      { level: 'manifest', platform: undefined, key: 'k', value: 'v:w' },
    ])
    assert.deepEqual(readAnnotation('index,manifest-descriptor[linux/amd64]:a.b=c'), [
      { level: 'index', platform: undefined, key: 'a.b', value: 'c' },
      { level: 'manifest-descriptor', platform: 'linux/amd64', key: 'a.b', value: 'c' },
    ])
    assert.throws(() => readAnnotation('frob:a=b'), /unknown type "frob"/)
  })

  it('takes a bare cache value for a registry reference', () => {
    assert.deepEqual(readCacheImports(['reg/cache'], '/w'), [
      { type: 'registry', ref: 'docker.io/reg/cache:latest', isInsecure: false },
    ])
    assert.deepEqual(readCacheImports(['type=gha,scope=main'], '/w'), [
      { type: 'unsupported', kind: 'gha' },
    ])
    assert.throws(() => readCacheImports(['type=registy,ref=x'], '/w'), /"registy" is not known/)
    assert.throws(() => readCacheExports(['type=gha'], '/w'), /"gha" is not supported/)
    assert.throws(() => readCacheExports(['type=local'], '/w'), /dest is required/)
  })

  it('tells git from http', () => {
    assert.deepEqual(readRemote('https://h/r.git#v1:dir'), {
      kind: 'git',
      url: 'https://h/r.git#v1:dir',
    })
    assert.deepEqual(readRemote('git@h:o/r'), { kind: 'git', url: 'git@h:o/r' })
    assert.deepEqual(readRemote('https://h/x.tar.gz'), { kind: 'http', url: 'https://h/x.tar.gz' })
    assert.equal(readRemote('./dir'), undefined)
  })
})

describe('secrets and contexts', () => {
  let directory = ''
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-flags-'))
    await writeFile(join(directory, 'file'), 'x')
  })
  after(() => rm(directory, { recursive: true, force: true }))

  it('finds a secret in a file or the environment', async () => {
    const surroundings = { cwd: directory, env: { TOKEN: 't' } }
    assert.deepEqual(
      await readSecrets(
        ['id=a,src=file', 'id=TOKEN', 'type=env,id=b,src=TOKEN', 'id=file'],
        surroundings,
      ),
      [
        { id: 'a', source: { kind: 'file', path: join(directory, 'file') } },
        { id: 'TOKEN', source: { kind: 'env', name: 'TOKEN' } },
        { id: 'b', source: { kind: 'env', name: 'TOKEN' } },
        { id: 'file', source: { kind: 'file', path: join(directory, 'file') } },
      ],
    )
    await assert.rejects(readSecrets(['id=x,foo=bar'], surroundings), /unexpected key 'foo'/)
    await assert.rejects(
      readSecrets(['id=x,src=none'], surroundings),
      /none: no such file or directory$/,
    )
  })

  it('refuses a policy of sources, which nothing would enforce', () => {
    const name = 'EXPERIMENTAL_BUILDKIT_SOURCE_POLICY'
    refuseSourcePolicy({})
    refuseSourcePolicy({ [name]: '' })
    assert.throws(() => refuseSourcePolicy({ [name]: 'policy.json' }), /policies are not supported/)
  })

  it('refuses an agent that nobody started', async () => {
    const agents = readSsh(['default'], directory)
    await assert.rejects(checkSsh(agents, {}), /SSH_AUTH_SOCK is not set/)
    assert.deepEqual(await checkSsh(agents, { SSH_AUTH_SOCK: '/a/socket' }), agents)
  })

  it('refuses an ssh id that is given twice', () => {
    assert.deepEqual(readSsh(['default', 'k=a,b'], '/w'), [
      { id: 'default', paths: [] },
      { id: 'k', paths: ['/w/a', '/w/b'] },
    ])
    assert.throws(() => readSsh(['k', 'k'], '/w'), /given twice/)
  })

  it('reads every kind of named context', async () => {
    const values = [
      'a=docker-image://alpine',
      `b=oci-layout://${directory}:v1`,
      `c=${directory}`,
      'docker.io/library/d:latest=https://h/x.git',
    ]
    await assert.rejects(readNamedContexts(['A B=x'], '/'), { name: 'UsageError' })
    assert.deepEqual(
      await readNamedContexts(values, '/'),
      new Map<string, unknown>([
        ['a', { kind: 'image', reference: 'alpine' }],
        ['b', { kind: 'oci-layout', path: directory, reference: 'v1' }],
        ['c', { kind: 'directory', path: directory }],
        ['d', { kind: 'git', url: 'https://h/x.git' }],
      ]),
    )
    await assert.rejects(readNamedContexts(['x=/no/such'], '/'), { code: 'context-missing' })
  })
})
