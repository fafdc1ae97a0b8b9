import assert from 'node:assert/strict'
import {
  chmod,
  link,
  mkdir,
  open,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { noteImpliedDirectories } from '../layer/implied.ts'
import { encodePath } from '../layer/path-bytes.ts'
import { kernel } from '../native/kernel.ts'
import type { Kernel } from '../native/kernel-types.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { applyLayer } from './apply-layer.ts'

const never = new AbortController().signal

async function lab() {
  const place = await temporaryDirectory()
  const layer = { path: join(place.path, 'layer') }
  const source = join(layer.path, 'fs')
  const target = join(place.path, 'target')
  await mkdir(source, { recursive: true })
  await mkdir(target)
  return {
    ...{ layer, source, target },
    apply: async (parts: Pick<Kernel, 'scanTree' | 'createMaker'> = kernel, signal = never) => {
      await applyLayer(layer, target, { kernel: parts }, signal)
    },
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  }
}

/** All that is kept of a tree. */
async function imageOf(root: string): Promise<unknown> {
  const entries = await kernel.scanTree({ root, withXattrs: true, signal: never })
  return entries.map(({ ino: _ino, ctimeSec: _c, ctimeNsec: _n, mtimeNsec: _m, ...rest }) => rest)
}

describe('a layer applied to a tree', () => {
  it('keeps links, holes, modes, times, attributes and odd names', async () => {
    await using bench = await lab()
    const { source, target } = bench
    await mkdir(join(source, 'dir'))
    await writeFile(join(source, 'dir/file'), 'content')
    await chmod(join(source, 'dir/file'), 0o4755)
    await utimes(join(source, 'dir/file'), 1_000_000_000, 1_000_000_000)
    await link(join(source, 'dir/file'), join(source, 'hard'))
    await symlink('dir/file', join(source, 'link'))
    await writeFile(encodePath(`${source}/\udcff`), '')
    const sparse = await open(join(source, 'sparse'), 'w')
    await sparse.write('end', 5_000_000)
    await sparse.close()
    for (const path of ['dir', 'sparse']) {
      kernel.setXattr(join(source, path), 'user.note', Buffer.from(path))
    }
    await utimes(join(source, 'dir'), 1, 1)
    await bench.apply()
    assert.deepEqual(await imageOf(target), await imageOf(source))
    assert.equal((await stat(join(target, 'hard'))).ino, (await stat(join(target, 'dir/file'))).ino)
    assert.equal(await readFile(join(target, 'dir/file'), 'utf8'), 'content')
    const { size, blocks } = await stat(join(target, 'sparse'))
    assert.ok(size === 5_000_003 && blocks * 512 < 100_000, String(blocks))
  })

  it('has every byte of files of many sizes, and shares none of them with the layer', async () => {
    await using bench = await lab()
    const { source, target } = bench
    const sizes = [0, 1, 4096, 65_536, 65_537, 600_000]
    const names: string[] = []
    for (let index = 0; index < 200; index += 1) {
      const name = `f${index}`
      names.push(name)
      const size = sizes[index % sizes.length] ?? 0
      await writeFile(join(source, name), Buffer.alloc(size, `${index} `))
    }
    await bench.apply()
    for (const name of names) {
      const bytes = await readFile(join(target, name))
      assert.ok(bytes.equals(await readFile(join(source, name))), name)
    }
    await writeFile(join(target, 'f1'), 'changed in place')
    assert.equal(await readFile(join(source, 'f1'), 'utf8'), '1')
  })

  it('leaves a directory that it only implies as it was, with its time', async () => {
    await using bench = await lab()
    const { source, target, layer } = bench
    await mkdir(join(target, 'd/inner'), { recursive: true })
    await chmod(join(target, 'd'), 0o711)
    await utimes(join(target, 'd'), 5, 5)
    for (const root of ['d', 'new']) {
      await mkdir(join(source, root))
      await writeFile(join(source, root, 'f'), '')
    }
    await noteImpliedDirectories(layer, ['d', 'new'])
    await bench.apply()
    const { mode, mtimeMs } = await stat(join(target, 'd'))
    assert.deepEqual([mode & 0o7777, mtimeMs], [0o711, 5000])
    for (const path of ['d/f', 'd/inner', 'new/f']) await stat(join(target, path))
  })

  it('names the first file that cannot be copied, whichever thread comes to it', async () => {
    await using bench = await lab()
    const { source } = bench
    for (let index = 100; index < 300; index += 1) await writeFile(join(source, `f${index}`), 'x')
    const vanishing: Pick<Kernel, 'scanTree' | 'createMaker'> = {
      createMaker: (options) => kernel.createMaker(options),
      scanTree: async (options) => {
        const scanned = await kernel.scanTree(options)
        for (let index = 150; index < 300; index += 1) await rm(join(source, `f${index}`))
        return scanned
      },
    }
    await assert.rejects(bench.apply(vanishing), { code: 'ENOENT', path: 'f150' })
  })

  it('stops when it is told to', async () => {
    await using bench = await lab()
    await writeFile(join(bench.source, 'f'), '')
    const reason = new Error('enough')
    await assert.rejects(bench.apply(kernel, AbortSignal.abort(reason)), reason)
  })
})
