import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { lstat, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf } from '../../registry-client/oci/index.ts'
import {
  imageIdOf,
  metadataJson,
  prepareResultFile,
  toldOutput,
  writeResultFile,
} from './metadata.ts'
import { ImageMaker } from './testing/image-maker.ts'

describe('result files', () => {
  it('hold the keys of buildx', async () => {
    await using maker = await ImageMaker.open()
    const result = await maker.result([[]])
    const json = metadataJson(result, {
      hasDigest: true,
      names: ['a', 'b'],
      annotations: [
        { level: 'manifest-descriptor', platform: undefined, key: 'k', value: 'v' },
        { level: 'manifest', platform: undefined, key: 'not', value: 'this' },
      ],
    })
    assert.deepEqual(Object.keys(json).sort(), [
      'containerimage.config.digest',
      'containerimage.descriptor',
      'containerimage.digest',
      'image.name',
    ])
    assert.equal(json['image.name'], 'a,b')
    assert.match(JSON.stringify(json), /"k":"v"/)
    assert.doesNotMatch(JSON.stringify(json), /"this"/)
    assert.equal(json['containerimage.config.digest'], imageIdOf(result))
  })

  it('tell about the last output that has a digest', () => {
    const files = { digest: undefined, names: [] }
    const pushed = { digest: digestOf('pushed'), names: ['a'] }
    assert.equal(toldOutput([pushed, files, undefined]), 0)
    assert.equal(toldOutput([files, pushed, pushed, files]), 2)
    assert.equal(toldOutput([files, undefined]), -1)
  })

  it('are removed before the build and appear whole', async () => {
    await using maker = await ImageMaker.open()
    const path = join(maker.directory, 'iid')
    await writeFile(path, 'old')
    await prepareResultFile(path, 'iidfile')
    await assert.rejects(readFile(path), { code: 'ENOENT' })
    await writeResultFile(path, 'sha256:1')
    assert.equal(await readFile(path, 'utf8'), 'sha256:1')
    await assert.rejects(prepareResultFile('/no/such/dir/iid', 'iidfile'), {
      code: 'destination-unusable',
      message: 'could not write --iidfile: the directory of /no/such/dir/iid does not exist',
    })
    await assert.rejects(prepareResultFile(maker.directory, 'iidfile'), {
      code: 'destination-unusable',
      message: /--iidfile: .* is a directory, not a file$/,
    })
  })

  // Root may replace any name: `--iidfile /dev/null` once made a file of the device.
  it('never take the place of a fifo or a device', async () => {
    await using maker = await ImageMaker.open()
    const path = join(maker.directory, 'fifo')
    execFileSync('mkfifo', [path])
    await prepareResultFile(path, 'iidfile')
    const [read] = await Promise.all([readFile(path, 'utf8'), writeResultFile(path, 'sha256:1')])
    assert.equal(read, 'sha256:1')
    assert.ok((await lstat(path)).isFIFO())
  })

  it('take the place of a link, and leave what it leads to', async () => {
    await using maker = await ImageMaker.open()
    const path = join(maker.directory, 'iid')
    await writeFile(join(maker.directory, 'other'), 'kept')
    for (const target of ['other', 'absent']) {
      await symlink(target, path)
      await prepareResultFile(path, 'iidfile')
      await writeResultFile(path, 'sha256:1')
      assert.ok((await lstat(path)).isFile())
      await rm(path)
    }
    assert.deepEqual(await readdir(maker.directory), ['other'])
    assert.equal(await readFile(join(maker.directory, 'other'), 'utf8'), 'kept')
  })

  it('are named with the reason when they cannot be written', async () => {
    await assert.rejects(writeResultFile('/dev/full', 'sha256:1'), {
      code: 'destination-unusable',
      message: 'could not write /dev/full: no space left on device',
    })
  })
})
