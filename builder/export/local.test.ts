import assert from 'node:assert/strict'
import { lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { kernel } from '../../snapshotter/index.ts'
import { LocalExporter } from './local.ts'
import { directoriesTo, ImageMaker, type TarEntry } from './testing/image-maker.ts'

const SIGNAL = new AbortController().signal

describe('LocalExporter', () => {
  let maker: ImageMaker
  beforeEach(async () => {
    maker = await ImageMaker.open()
  })
  afterEach(() => maker[Symbol.asyncDispose]())

  const exported = async (layers: readonly (readonly TarEntry[])[]): Promise<string> => {
    const dest = join(maker.directory, 'out')
    const parts = { kernel, cwd: maker.directory, stdout: new PassThrough() }
    const exporter = await LocalExporter.open(
      { type: 'local', dest, platformSplit: undefined },
      parts,
    )
    await exporter.export(await maker.result(layers), maker.services, SIGNAL)
    return dest
  }

  it('writes what is seen after all layers, and nothing of its own', async () => {
    const dest = await exported([
      [
        { name: 'd/', type: 'directory', mode: 0o750 },
        { name: 'd/gone', content: 'x' },
        { name: 'd/kept', content: 'k', mode: 0o4755 },
        { name: 'o/', type: 'directory' },
        { name: 'o/hidden', content: 'x' },
      ],
      [
        { name: 'd/.wh.gone' },
        { name: 'o/.wh..wh..opq' },
        { name: 'o/new', content: 'n' },
        { name: 'l', type: 'symlink', linkname: 'd/kept' },
      ],
    ])
    assert.deepEqual((await readdir(dest, { recursive: true })).sort(), [
      'd',
      'd/kept',
      'l',
      'o',
      'o/new',
    ])
    assert.equal((await lstat(join(dest, 'd'))).mode & 0o7777, 0o750)
    const kept = await lstat(join(dest, 'd/kept'))
    assert.equal(kept.mode & 0o7777, 0o4755)
    assert.equal(kept.mtimeMs, 1_700_000_000_000)
    assert.equal(await readlink(join(dest, 'l')), 'd/kept')
  })

  it('gives everything its time, a fifo too', async () => {
    const dest = await exported([[{ name: 'p', type: 'fifo' }]])
    const pipe = await lstat(join(dest, 'p'))
    assert.ok(pipe.isFIFO())
    assert.equal(pipe.mtimeMs, 1_700_000_000_000)
  })

  it('keeps hardlinks together', async () => {
    const dest = await exported([
      [
        { name: 'a', content: 'a' },
        { name: 'b', type: 'link', linkname: 'a' },
      ],
    ])
    assert.equal((await lstat(join(dest, 'a'))).ino, (await lstat(join(dest, 'b'))).ino)
  })

  it('keeps files that are in the directory already and not in the image', async () => {
    await mkdir(join(maker.directory, 'out/d'), { recursive: true })
    await writeFile(join(maker.directory, 'out/d/mine'), 'm')
    const dest = await exported([
      [
        { name: 'd/', type: 'directory' },
        { name: 'd/its', content: 'i' },
      ],
    ])
    assert.deepEqual((await readdir(join(dest, 'd'))).sort(), ['its', 'mine'])
  })

  it('writes through no symlink, whether it stands there or comes from a layer', async () => {
    const outside = await maker.workDirectory('outside')
    await writeFile(join(outside, 'canary'), 'alive')
    await mkdir(join(maker.directory, 'out'))
    await symlink(outside, join(maker.directory, 'out/there'))
    await symlink(join(outside, 'canary'), join(maker.directory, 'out/file'))
    const dest = await exported([
      [
        { name: 'there/', type: 'directory' },
        { name: 'there/canary', content: 'dead' },
        { name: 'file', content: 'dead' },
        { name: 'layer', type: 'symlink', linkname: outside },
      ],
      [{ name: 'layer/canary', content: 'dead' }],
    ])
    assert.equal(await readFile(join(outside, 'canary'), 'utf8'), 'alive')
    assert.deepEqual(await readdir(outside), ['canary'])
    assert.equal(await readFile(join(dest, 'layer/canary'), 'utf8'), 'dead')
  })

  it('takes nothing from outside, wherever a symlink above a file of the same layer leads', async () => {
    const outside = await maker.workDirectory('outside')
    await writeFile(join(outside, 'canary'), 'alive')
    const work = exported([
      [
        ...directoriesTo(outside),
        { name: 'l', type: 'symlink', linkname: outside },
        { name: 'l/canary', content: 'of the layer' },
      ],
    ])
    await assert.rejects(work, { code: 'image-invalid', message: /l\/canary lies below a symbol/ })
    assert.equal(await readFile(join(outside, 'canary'), 'utf8'), 'alive')
  })

  it('refuses names that climb out', async () => {
    await assert.rejects(exported([[{ name: '../evil', content: 'x' }]]))
    assert.ok(!(await readdir(maker.directory)).includes('evil'))
    assert.deepEqual(await readdir(join(maker.directory, 'out')), [])
  })

  it('puts several platforms into one directory, unless one replaces a file of another', async () => {
    const parts = { kernel, cwd: maker.directory, stdout: new PassThrough() }
    const exporter = await LocalExporter.open(
      { type: 'local', dest: 'dst', platformSplit: false },
      parts,
    )
    const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }))
    const both = await maker.result([[{ name: 'f', content: 'x' }]], platforms)
    await assert.rejects(exporter.export(both, maker.services, SIGNAL), {
      code: 'export-unsupported',
      message: /cannot overwrite \/f from linux\/amd64 with linux\/arm64/,
    })
    const directories = await maker.result([[{ name: 'd/', type: 'directory' }]], platforms)
    await exporter.export(directories, maker.services, SIGNAL)
    assert.ok((await readdir(join(maker.directory, 'dst'))).includes('d'))
  })

  it('says that the destination is a file', async () => {
    await writeFile(join(maker.directory, 'dst'), '')
    const parts = { kernel, cwd: maker.directory, stdout: new PassThrough() }
    await assert.rejects(
      LocalExporter.open({ type: 'local', dest: 'dst', platformSplit: undefined }, parts),
      {
        code: 'destination-unusable',
        message: /dst is a file/,
      },
    )
  })
})
