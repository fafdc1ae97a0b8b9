import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { extract, type Header } from 'tar-stream'
import type { Platform } from '../../registry-client/oci/index.ts'
import { kernel } from '../../snapshotter/index.ts'
import { TarExporter } from './tar.ts'
import { directoriesTo, ImageMaker } from './testing/image-maker.ts'

const SIGNAL = new AbortController().signal
const LAYERS = [
  [
    { name: 'd/', type: 'directory', mode: 0o750, uid: 5, gid: 6 },
    { name: 'd/gone', content: 'x' },
    { name: 'shadow', content: 's', mode: 0o040, uid: 7 },
    { name: 'null', type: 'character-device', devmajor: 1, devminor: 3 },
  ],
  [
    { name: 'd/.wh.gone' },
    { name: 'd/new', content: 'new', mode: 0o4755 },
    { name: 'l', type: 'link', linkname: 'd/new' },
  ],
] as const

describe('TarExporter', () => {
  let maker: ImageMaker
  beforeEach(async () => {
    maker = await ImageMaker.open()
  })
  afterEach(() => maker[Symbol.asyncDispose]())

  const open = (platformSplit?: boolean): Promise<TarExporter> => {
    const { directory } = maker
    const parts = { kernel, cwd: directory, stdout: new PassThrough(), workDirectory: directory }
    return TarExporter.open({ type: 'tar', dest: 'out.tar', platformSplit }, parts)
  }

  const exported = async (
    platforms?: readonly Platform[],
    platformSplit?: boolean,
  ): Promise<Header[]> => {
    const exporter = await open(platformSplit)
    await exporter.export(await maker.result(LAYERS, platforms), maker.services, SIGNAL)
    const archive = extract()
    const reading = pipeline(createReadStream(join(maker.directory, 'out.tar')), archive)
    const headers: Header[] = []
    for await (const entry of archive) {
      headers.push(entry.header)
      entry.resume()
    }
    await reading
    return headers
  }

  it('keeps owners, modes, devices and hardlinks of what is seen after all layers', async () => {
    const headers = await exported()
    const shown = headers.map(({ name, type, mode, uid }) => [name, type, mode, uid])
    assert.deepEqual(shown, [
      ['d/', 'directory', 0o750, 5],
      ['d/new', 'file', 0o4755, 0],
      ['l', 'link', 0o4755, 0],
      ['null', 'character-device', 0o644, 0],
      ['shadow', 'file', 0o040, 7],
    ])
    const device = headers.find(({ name }) => name === 'null')
    assert.deepEqual([device?.devmajor, device?.devminor], [1, 3])
  })

  it('changes and reads nothing outside, wherever a symlink above a file of the same layer leads', async () => {
    const outside = await maker.workDirectory('outside')
    await writeFile(join(outside, 'canary'), 'alive', { mode: 0o640 })
    const layer = [
      ...directoriesTo(outside),
      { name: 'l', type: 'symlink', linkname: outside },
      { name: 'l/canary', content: 'layer', mode: 0 },
    ] as const
    const exporter = await open()
    const work = exporter.export(await maker.result([layer]), maker.services, SIGNAL)
    await assert.rejects(work, /l\/canary.*symbolic link/)
    assert.equal((await stat(join(outside, 'canary'))).mode & 0o777, 0o640)
  })

  it('refuses platforms of which one would replace a file of another', async () => {
    const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }))
    await assert.rejects(exported(platforms, false), {
      code: 'export-unsupported',
      message: /cannot overwrite \/d\/new from linux\/amd64 with linux\/arm64/,
    })
    assert.ok(!(await readdir(maker.directory)).includes('out.tar'))
  })

  it('gives every platform a directory, and leaves nothing else behind', async () => {
    const headers = await exported([
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm', variant: 'v7' },
    ])
    const tops = new Set(headers.map(({ name }) => name.split('/')[0]))
    assert.deepEqual([...tops], ['linux_amd64', 'linux_arm_v7'])
    assert.ok(!(await readdir(maker.directory)).some((name) => name.startsWith('.tsbuild')))
  })
})
