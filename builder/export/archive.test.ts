import assert from 'node:assert/strict'
import { readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { kernel } from '../../snapshotter/index.ts'
import { validateImage } from '../image/testing/validate-image.ts'
import type { OutputRequest } from '../request.ts'
import { ArchiveExporter } from './archive.ts'
import { FORMAT_DEFAULT } from './layer-formats.ts'
import { ImageMaker } from './testing/image-maker.ts'

const SIGNAL = new AbortController().signal
const NAMES = ['docker.io/library/app:v1', 'reg.example/app:v1']
const LAYERS = [[{ name: 'a', content: 'a' }], [{ name: 'big', content: 'x'.repeat(3_000_000) }]]

type Archive = Extract<OutputRequest, { type: 'oci' | 'docker' }> & { readonly dest: string }

function output(dest: string, changes: Partial<Archive> = {}): Archive {
  return {
    type: 'oci',
    dest,
    isTar: true,
    names: NAMES,
    format: FORMAT_DEFAULT,
    annotations: [],
    ...changes,
  }
}

describe('ArchiveExporter', () => {
  let maker: ImageMaker
  beforeEach(async () => {
    maker = await ImageMaker.open()
  })
  afterEach(() => maker[Symbol.asyncDispose]())

  const surroundings = () => ({ cwd: maker.directory, stdout: new PassThrough(), kernel })

  it('writes an OCI archive that holds together, with every name', async () => {
    const exporter = await ArchiveExporter.open(output('o.tar'), surroundings())
    await exporter.export(await maker.result(LAYERS), maker.services, SIGNAL)
    const images = await validateImage(join(maker.directory, 'o.tar'))
    assert.deepEqual(
      images.flatMap(({ names }) => names),
      NAMES,
    )
    assert.ok(!(await readdir(maker.directory)).some((name) => name.endsWith('.tmp')))
  })

  it('gives equal bytes for equal results', async () => {
    for (const dest of ['1.tar', '2.tar']) {
      const exporter = await ArchiveExporter.open(output(dest), surroundings())
      await exporter.export(await maker.result(LAYERS), maker.services, SIGNAL)
    }
    assert.ok(
      (await readFile(join(maker.directory, '1.tar'))).equals(
        await readFile(join(maker.directory, '2.tar')),
      ),
    )
  })

  it('writes what docker load needs beside the layout', async () => {
    const exporter = await ArchiveExporter.open(output('d.tar', { type: 'docker' }), surroundings())
    await exporter.export(await maker.result(LAYERS), maker.services, SIGNAL)
    await validateImage(join(maker.directory, 'd.tar'))
    const text = (await readFile(join(maker.directory, 'd.tar'))).toString('latin1')
    assert.match(text, /"RepoTags":\["app:v1","reg\.example\/app:v1"\]/)
  })

  it('refuses several platforms in a docker archive, and keeps them in an OCI one', async () => {
    const platforms = [
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm64' },
    ]
    const result = await maker.result(LAYERS, platforms)
    const docker = await ArchiveExporter.open(output('d.tar', { type: 'docker' }), surroundings())
    await assert.rejects(docker.export(result, maker.services, SIGNAL), {
      code: 'export-unsupported',
    })
    assert.ok(!(await readdir(maker.directory)).includes('d.tar'))
    const oci = await ArchiveExporter.open(
      output('o.tar', { names: NAMES.slice(0, 1) }),
      surroundings(),
    )
    await oci.export(result, maker.services, SIGNAL)
    const images = await validateImage(join(maker.directory, 'o.tar'))
    assert.deepEqual(
      images.map(({ platform }) => platform?.architecture),
      ['amd64', 'arm64'],
    )
  })

  it('replaces the file that a link leads to, not the link', async () => {
    await maker.workDirectory('elsewhere')
    await writeFile(join(maker.directory, 'elsewhere/o.tar'), 'old')
    await symlink('elsewhere/o.tar', join(maker.directory, 'link.tar'))
    const exporter = await ArchiveExporter.open(output('link.tar'), surroundings())
    await exporter.export(await maker.result(LAYERS), maker.services, SIGNAL)
    assert.equal(await readlink(join(maker.directory, 'link.tar')), 'elsewhere/o.tar')
    assert.equal((await validateImage(join(maker.directory, 'elsewhere/o.tar'))).length, 2)
  })

  it('loses no name when several write to a layout directory at once', async () => {
    const result = await maker.result(LAYERS)
    const names = Array.from({ length: 8 }, (_, index) => `reg.example/app:v${index}`)
    await Promise.all(
      names.map(async (name) => {
        const one = output('layout', { isTar: false, names: [name] })
        const exporter = await ArchiveExporter.open(one, surroundings())
        await exporter.export(result, maker.services, SIGNAL)
      }),
    )
    const images = await validateImage(join(maker.directory, 'layout'))
    assert.deepEqual(images.flatMap((image) => image.names).toSorted(), names)
    assert.ok(!(await readdir(join(maker.directory, 'layout'))).includes('index.json.lock'))
  })

  it('adds to a layout directory: other names stay, its own are replaced', async () => {
    const first = output('layout', { isTar: false, names: ['reg.example/old:v1'] })
    await (await ArchiveExporter.open(first, surroundings())).export(
      await maker.result(LAYERS),
      maker.services,
      SIGNAL,
    )
    for (const layers of [LAYERS, LAYERS.slice(0, 1)]) {
      const exporter = await ArchiveExporter.open(
        output('layout', { isTar: false, names: NAMES.slice(0, 1) }),
        surroundings(),
      )
      await exporter.export(await maker.result(layers), maker.services, SIGNAL)
    }
    const images = await validateImage(join(maker.directory, 'layout'))
    assert.deepEqual(
      images.map(({ names, manifest }) => [names[0], manifest.layers.length]),
      [
        ['reg.example/old:v1', 2],
        ['docker.io/library/app:v1', 1],
      ],
    )
  })

  it('calls what has no name the latest of a directory', async () => {
    for (const layers of [LAYERS, LAYERS.slice(0, 1)]) {
      const exporter = await ArchiveExporter.open(
        output('layout', { isTar: false, names: [] }),
        surroundings(),
      )
      await exporter.export(await maker.result(layers), maker.services, SIGNAL)
    }
    const index: { manifests: { annotations: Record<string, string> }[] } = JSON.parse(
      await readFile(join(maker.directory, 'layout/index.json'), 'utf8'),
    )
    const names = index.manifests.map(
      ({ annotations }) => annotations['org.opencontainers.image.ref.name'],
    )
    assert.deepEqual(names, ['latest'])
  })

  it('refuses a bad destination before anything is built', async () => {
    await writeFile(join(maker.directory, 'file'), '')
    await maker.workDirectory('dir')
    const refused = { code: 'destination-unusable' }
    await assert.rejects(ArchiveExporter.open(output('dir'), surroundings()), refused)
    await assert.rejects(ArchiveExporter.open(output('none/o.tar'), surroundings()), refused)
    await assert.rejects(
      ArchiveExporter.open(output('file', { isTar: false }), surroundings()),
      refused,
    )
    const terminal = Object.assign(new PassThrough(), { isTTY: true })
    await assert.rejects(
      ArchiveExporter.open(output('-'), { ...surroundings(), stdout: terminal }),
      refused,
    )
  })

  it('leaves no file behind when a blob cannot be read', async () => {
    const exporter = await ArchiveExporter.open(output('o.tar'), surroundings())
    const services = { ...maker.services, ensureBlob: async () => join(maker.directory, 'gone') }
    await assert.rejects(exporter.export(await maker.result(LAYERS), services, SIGNAL), {
      code: 'ENOENT',
    })
    assert.ok(!(await readdir(maker.directory)).some((name) => /^o\.tar|\.tmp$/.test(name)))
  })
})

describe('validateImage', () => {
  it('notices a changed byte in a layer', async () => {
    await using maker = await ImageMaker.open()
    const exporter = await ArchiveExporter.open(output('layout', { isTar: false }), {
      cwd: maker.directory,
      stdout: new PassThrough(),
      kernel,
    })
    const result = await maker.result(LAYERS)
    await exporter.export(result, maker.services, SIGNAL)
    const digest = result.images[0]?.layers[0]?.descriptor.digest ?? ''
    const path = join(maker.directory, 'layout/blobs/sha256', digest.slice('sha256:'.length))
    const bytes = await readFile(path)
    bytes[600] = 0x7a
    await writeFile(path, bytes)
    await assert.rejects(validateImage(join(maker.directory, 'layout')), /has digest/)
  })
})
