import assert from 'node:assert/strict'
import { lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import {
  type Kernel,
  kernel,
  type LayerMaker,
  type MakeOptions,
  NamedLocks,
} from '../../snapshotter/index.ts'
import { StepReporter } from '../solver/steps.ts'
import { LocalExporter, type LocalParts } from './local.ts'
import { directoriesTo, ImageMaker, type TarEntry } from './testing/image-maker.ts'

const SIGNAL = new AbortController().signal
const PLATFORMS = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }))
const PLAIN = { mode: 0o755, uid: 0, gid: 0, mtimeSec: 0 }

describe('LocalExporter', () => {
  let maker: ImageMaker
  let locks: NamedLocks
  beforeEach(async () => {
    maker = await ImageMaker.open()
    locks = new NamedLocks(kernel, await maker.workDirectory('locks'))
  })
  afterEach(() => maker[Symbol.asyncDispose]())

  const partsWith = (more: Partial<Kernel> = {}): LocalParts => ({
    ...{ kernel: { ...kernel, ...more }, locks },
    ...{ cwd: maker.directory, stdout: new PassThrough() },
  })

  const open = (dest: string, more: Partial<Kernel> = {}): Promise<LocalExporter> =>
    LocalExporter.open({ type: 'local', dest, platformSplit: undefined }, partsWith(more))

  const exported = async (layers: readonly (readonly TarEntry[])[]): Promise<string> => {
    const dest = join(maker.directory, 'out')
    await (await open(dest)).export(await maker.result(layers), maker.services, SIGNAL)
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
    const dest = await exported([
      [
        ...directoriesTo(outside),
        { name: 'l', type: 'symlink', linkname: outside },
        { name: 'l/canary', content: 'of the layer' },
      ],
    ])
    assert.equal(await readFile(join(outside, 'canary'), 'utf8'), 'alive')
    assert.equal(await readFile(join(dest, 'l/canary'), 'utf8'), 'of the layer')
  })

  it('replaces what is in the way, a directory with all that is in it', async () => {
    await mkdir(join(maker.directory, 'out/file/full'), { recursive: true })
    await writeFile(join(maker.directory, 'out/file/full/old'), '')
    await writeFile(join(maker.directory, 'out/d'), 'a file')
    await symlink('nowhere', join(maker.directory, 'out/pipe'))
    const dest = await exported([
      [
        { name: 'd/', type: 'directory', mode: 0o555 },
        { name: 'd/closed', content: 'c', mode: 0o020 },
        { name: 'file', content: 'f' },
        { name: 'pipe', type: 'fifo' },
      ],
    ])
    assert.equal(await readFile(join(dest, 'file'), 'utf8'), 'f')
    assert.equal((await lstat(join(dest, 'd'))).mode & 0o7777, 0o555)
    assert.equal((await lstat(join(dest, 'd/closed'))).mode & 0o7777, 0o020)
    assert.ok((await lstat(join(dest, 'pipe'))).isFIFO())
  })

  it('gives everything the time of SOURCE_DATE_EPOCH', async () => {
    const made = await maker.result([
      [
        { name: 'd/', type: 'directory' },
        { name: 'd/a', content: 'a' },
        { name: 'd/b', type: 'link', linkname: 'd/a' },
        { name: 'l', type: 'symlink', linkname: 'd' },
      ],
    ])
    const dest = join(maker.directory, 'out')
    await (await open(dest)).export({ ...made, epochSec: 1000 }, maker.services, SIGNAL)
    for (const name of ['d', 'd/a', 'd/b', 'l']) {
      assert.equal((await lstat(join(dest, name))).mtimeMs, 1_000_000, name)
    }
  })

  it('makes devices as root, and else says which it left out', async () => {
    const device = { name: 'd/null', type: 'character-device', devmajor: 1, devminor: 3 } as const
    const dest = await exported([[{ name: 'd/', type: 'directory' }, device]])
    const warnings = maker.events.flatMap((event) => (event.type === 'warning' ? event.text : []))
    if (process.getuid?.() === 0) {
      assert.ok((await lstat(join(dest, 'd/null'))).isCharacterDevice())
      assert.deepEqual(warnings, [])
    } else {
      assert.deepEqual(warnings, ['could not write d/null: a device needs root'])
    }
  })

  it('takes turns with others that write into the same directory', async () => {
    await symlink('out', join(maker.directory, 'link'))
    await mkdir(join(maker.directory, 'out'))
    const dests = ['out', 'link', join(maker.directory, 'out')]
    const exports = Array.from({ length: 9 }, async (_, i) => {
      const output = { type: 'local', dest: dests[i % 3] ?? '', platformSplit: undefined } as const
      const exporter = await LocalExporter.open({ ...output, isMirror: true }, partsWith())
      const names = ['d/', `d/only-in-${i}`, 'd/in-all', `last-${i}`]
      const result = await maker.result([
        names.map((name) =>
          name.endsWith('/') ? { name, type: 'directory' } : { name, content: `${i}` },
        ),
      ])
      await exporter.export(result, maker.services, SIGNAL)
    })
    await Promise.all(exports)
    const found = (await readdir(join(maker.directory, 'out'), { recursive: true })).toSorted()
    const last = await readFile(join(maker.directory, 'out/d/in-all'), 'utf8')
    assert.deepEqual(found, ['d', 'd/in-all', `d/only-in-${last}`, `last-${last}`])
    assert.deepEqual(await readdir(join(maker.directory, 'locks')), [])
  })

  it('says that it waits for another export, and stops waiting', async () => {
    const dest = await maker.workDirectory('out')
    const { dev, ino } = await lstat(dest)
    await using _other = await locks.acquire(`export-${dev}-${ino}`, SIGNAL)
    const stop = new AbortController()
    const waiting = (await open(dest)).export(
      await maker.result([]),
      {
        ...maker.services,
        steps: new StepReporter((event) => {
          if (event.type === 'step-log' && event.text.includes(`another export into ${dest}`))
            stop.abort(new Error('stopped'))
        }),
      },
      stop.signal,
    )
    await assert.rejects(waiting, /^Error: stopped$/)
    assert.deepEqual(await readdir(dest), [])
  })

  it('says where it could not write, and leaves nothing of its own when it is stopped', async () => {
    const dest = join(maker.directory, 'out')
    const layers = [
      [
        { name: 'a', content: 'a' },
        { name: 'b', content: 'b' },
      ],
    ]
    const stop = new AbortController()
    const stopping = (
      work: (maker: LayerMaker) => Promise<void>,
    ): { createMaker(options: MakeOptions): LayerMaker } => ({
      createMaker: (options) => {
        const made = kernel.createMaker(options)
        return {
          add: async (entries) => {
            await made.add(entries)
            await work(made)
          },
          finish: () => made.finish(),
          [Symbol.asyncDispose]: () => made[Symbol.asyncDispose](),
        }
      },
    })
    const path = 'x'.repeat(256)
    const failing = stopping((made) => made.add([{ ...PLAIN, type: 'dir', path }]))
    const broken = (await open(dest, failing)).export(
      await maker.result(layers),
      maker.services,
      SIGNAL,
    )
    await assert.rejects(broken, {
      code: 'destination-unusable',
      message: `could not write output type=local: ${dest}/${path}: File name too long (mkdir: ENAMETOOLONG)`,
    })
    const stopped = stopping(async () => {
      stop.abort(new Error('stopped'))
      stop.signal.throwIfAborted()
    })
    const interrupted = (await open(dest, stopped)).export(
      await maker.result(layers),
      maker.services,
      stop.signal,
    )
    await assert.rejects(interrupted, /^Error: stopped$/)
    assert.deepEqual((await readdir(dest)).sort(), ['a', 'b'])
  })

  it('puts platforms into real directories', async () => {
    const outside = await maker.workDirectory('outside')
    const dest = join(maker.directory, 'out')
    await mkdir(dest)
    await symlink(outside, join(dest, 'linux_amd64'))
    const both = await maker.result([[{ name: 'f', content: 'x' }]], PLATFORMS)
    await (await open(dest)).export(both, maker.services, SIGNAL)
    assert.deepEqual(await readdir(outside), [])
    assert.equal(await readFile(join(dest, 'linux_amd64/f'), 'utf8'), 'x')
    assert.equal(await readFile(join(dest, 'linux_arm64/f'), 'utf8'), 'x')
  })

  it('refuses names that climb out', async () => {
    await assert.rejects(exported([[{ name: '../evil', content: 'x' }]]))
    assert.ok(!(await readdir(maker.directory)).includes('evil'))
    assert.deepEqual(await readdir(join(maker.directory, 'out')), [])
  })

  it('puts several platforms into one directory, unless one replaces a file of another', async () => {
    const exporter = await LocalExporter.open(
      { type: 'local', dest: 'dst', platformSplit: false },
      partsWith(),
    )
    const both = await maker.result([[{ name: 'f', content: 'x' }]], PLATFORMS)
    await assert.rejects(exporter.export(both, maker.services, SIGNAL), {
      code: 'export-unsupported',
      message: /cannot overwrite \/f from linux\/amd64 with linux\/arm64/,
    })
    const directories = await maker.result([[{ name: 'd/', type: 'directory' }]], PLATFORMS)
    await exporter.export(directories, maker.services, SIGNAL)
    assert.ok((await readdir(join(maker.directory, 'dst'))).includes('d'))
  })

  it('says that the destination is a file', async () => {
    await writeFile(join(maker.directory, 'dst'), '')
    await assert.rejects(open('dst'), {
      code: 'destination-unusable',
      message: /dst is a file/,
    })
  })
})
