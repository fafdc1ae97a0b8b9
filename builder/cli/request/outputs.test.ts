import assert from 'node:assert/strict'
import { readOutputs } from './outputs.ts'

const NOTHING = { tags: [], push: false, load: false, annotations: [] }
const TAGS = ['docker.io/library/app:v1']

describe('readOutputs', () => {
  it('stores the image when nothing was asked for', () => {
    const [output, ...others] = readOutputs([], { ...NOTHING, tags: TAGS })
    assert.deepEqual(others, [])
    assert.ok(output?.type === 'image' && output.store && !output.push)
    assert.deepEqual(output.names, TAGS)
  })

  it('takes a bare word for a directory and - for a tar on stdout', () => {
    assert.deepEqual(readOutputs(['out/x'], NOTHING), [
      { type: 'local', dest: 'out/x', platformSplit: undefined },
    ])
    assert.deepEqual(readOutputs(['-'], NOTHING), [
      { type: 'tar', dest: '-', platformSplit: undefined },
    ])
  })

  it('pushes an image output that is there instead of adding one', () => {
    const [output, ...others] = readOutputs(['type=image,compression=zstd'], {
      ...NOTHING,
      tags: TAGS,
      push: true,
    })
    assert.deepEqual(others, [])
    assert.ok(output?.type === 'image' && output.push && output.format.compression === 'zstd')
  })

  it('needs a name to push', () => {
    assert.throws(() => readOutputs(['type=registry'], NOTHING), /tag is needed/)
    const [output] = readOutputs(['type=registry,name=reg.example/a'], NOTHING)
    assert.ok(output?.type === 'image')
    assert.deepEqual(output.names, ['reg.example/a:latest'])
  })

  it('pushes by digest only what is pushed, and under no tag', () => {
    const output = 'type=image,name=reg.example:5000/a,push-by-digest=true,push='
    const [kept, pushed] = readOutputs([`${output}false`, `${output}true`], NOTHING)
    assert.ok(kept?.type === 'image' && !kept.push)
    assert.ok(pushed?.type === 'image' && pushed.push && pushed.pushByDigest)
    assert.throws(
      () => readOutputs(['type=registry,name=reg.example/a:v1,push-by-digest=true'], NOTHING),
      { name: 'UsageError', message: /"reg.example\/a:v1" has a tag/ },
    )
  })

  it('lets tags beat name=', () => {
    const [output] = readOutputs(['type=oci,dest=o.tar,name=other'], { ...NOTHING, tags: TAGS })
    assert.ok(output?.type === 'oci')
    assert.deepEqual(output.names, TAGS)
  })

  it('writes the same media types into docker archives as elsewhere', () => {
    const [output, other] = readOutputs(
      ['type=docker,dest=d.tar', 'type=docker,dest=e.tar,oci-mediatypes=false'],
      NOTHING,
    )
    assert.ok(output?.type === 'docker' && output.format.useOciMediaTypes)
    assert.ok(other?.type === 'docker' && !other.format.useOciMediaTypes)
  })

  it('takes an empty destination for none', () => {
    for (const type of ['oci', 'docker', 'tar']) {
      const [output] = readOutputs([`type=${type},dest=`], NOTHING)
      assert.deepEqual([output], readOutputs([`type=${type}`], NOTHING))
    }
    assert.throws(() => readOutputs(['type=local,dest='], NOTHING), /dest is required/)
  })

  it('takes level 0 of zstd for its fastest one, as BuildKit does', () => {
    const [output, stored] = readOutputs(
      ['type=oci,compression=zstd,compression-level=0', 'type=oci,compression-level=0'],
      NOTHING,
    )
    assert.ok(output?.type === 'oci' && output.format.level === 1)
    assert.ok(stored?.type === 'oci' && stored.format.level === 0)
  })

  it('adds a load beside other outputs', () => {
    assert.deepEqual(
      readOutputs(['out'], { ...NOTHING, load: true }).map(({ type }) => type),
      ['local', 'docker'],
    )
  })

  it('refuses what it does not know, with the nearest word', () => {
    const cases: [string, RegExp][] = [
      ['type=frob,dest=x', /"frob" could not be found/],
      ['type=lcoal,dest=x', /did you mean local/],
      ['type=local', /dest is required/],
      ['dest=x,foo=y', /type is required/],
      ['type=image,compresion=zstd', /did you mean compression/],
      [
        'type=local,dest=x,rewrite-timestamp=true',
        /type=local has no attribute "rewrite-timestamp"$/,
      ],
      ['type=image,source-date-epoch=1', /not supported: SOURCE_DATE_EPOCH holds for all outputs/],
      ['type=docker,context=remote', /not supported: DOCKER_HOST says/],
      ['type=oci,tar=false', /dest is required/],
      ['type=image,compression=lz4', /"lz4" is not supported/],
      ['type=image,compression-level=12', /from 0 to 9/],
      ['type=docker,compression=zstd,oci-mediatypes=false', /needs oci-mediatypes/],
    ]
    for (const [text, message] of cases) {
      assert.throws(() => readOutputs([text], NOTHING), { name: 'UsageError', message }, text)
    }
  })

  it('reads annotations from attributes, case kept', () => {
    const [output] = readOutputs(['type=oci,dest=x,annotation-index.org.Example=1'], NOTHING)
    assert.ok(output?.type === 'oci')
    assert.deepEqual(output.annotations, [
      { level: 'index', platform: undefined, key: 'org.Example', value: '1' },
    ])
  })
})
