import assert from 'node:assert/strict'
import {
  appendFile,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kernel } from '../native/kernel.ts'
import type { ListOptions } from '../native/kernel-types.ts'
import type { LayerDirectory } from '../snapshotter.ts'
import { requires } from '../testing/requires.ts'
import { snapshotterSuite } from '../testing/snapshotter-suite.ts'
import { CopySnapshotter } from './copy-snapshotter.ts'

const never = new AbortController().signal

describe('copy driver', () => {
  requires('root')
  snapshotterSuite('copy', {
    kernel,
    privileges: 'root',
    make: (workDir) => new CopySnapshotter({ kernel, workDir, ownership: 'owners' }),
  })

  describe('over what its last step left', () => {
    let workDir: string
    let scanned: string[]
    let snapshotter: CopySnapshotter
    beforeEach(async () => {
      workDir = await mkdtemp(join(tmpdir(), 'tsbuild-copy-'))
      scanned = []
      const counting = {
        ...kernelCalls(),
        scanTree: (options: ListOptions) => {
          scanned.push(options.root)
          return kernel.scanTree(options)
        },
      }
      snapshotter = new CopySnapshotter({ kernel: counting, workDir, ownership: 'owners' })
    })
    afterEach(async () => {
      await rm(workDir, { recursive: true, force: true })
    })

    /** A layer is scanned each time it is copied. */
    function copiesOf({ path }: LayerDirectory): number {
      return scanned.filter((root) => root === join(path, 'fs')).length
    }

    async function step(
      parents: readonly LayerDirectory[],
      change: (dir: string) => Promise<void>,
    ): Promise<LayerDirectory> {
      await using snapshot = await snapshotter.prepare(parents, never)
      assert.equal(snapshot.root.type, 'bind')
      if (snapshot.root.type === 'bind') await change(snapshot.root.dir)
      return (await snapshot.commit(never)).directory
    }

    it('copies the base once for a chain of steps, and each sees what the ones before did', async () => {
      const base = await step([], async (dir) => {
        for (const name of ['a', 'b', 'c']) await writeFile(join(dir, name), name)
        await mkdir(join(dir, 'd'))
        await writeFile(join(dir, 'd', 'old'), '')
      })
      const first = await step([base], async (dir) => {
        await writeFile(join(dir, 'a'), 'changed')
        await link(join(dir, 'a'), join(dir, 'd', 'hard'))
        await rm(join(dir, 'b'))
      })
      const second = await step([base, first], async (dir) => {
        assert.deepEqual(await readdir(dir), ['a', 'c', 'd'])
        assert.equal(await readFile(join(dir, 'd/hard'), 'utf8'), 'changed')
        assert.equal((await stat(join(dir, 'a'))).ino, (await stat(join(dir, 'd/hard'))).ino)
        // In place: the layer below must not share the file.
        await appendFile(join(dir, 'a'), ' again')
        await rm(join(dir, 'd'), { recursive: true })
      })
      const other = await step([], async (dir) => writeFile(join(dir, 'from-copy'), ''))
      await step([base, first, second, other], async (dir) => {
        assert.deepEqual(await readdir(dir), ['a', 'c', 'from-copy'])
        assert.equal(await readFile(join(dir, 'a'), 'utf8'), 'changed again')
      })
      assert.equal(await readFile(join(first.path, 'fs/a'), 'utf8'), 'changed')
      assert.equal(copiesOf(base), 1)
    })

    it('copies anew for a step over other parents', async () => {
      const base = await step([], async (dir) => writeFile(join(dir, 'a'), 'a'))
      const left = await step([base], async (dir) => writeFile(join(dir, 'left'), ''))
      await step([base], async (dir) => {
        assert.deepEqual(await readdir(dir), ['a'])
      })
      assert.deepEqual(await readdir(join(left.path, 'fs')), ['left'])
      assert.equal(copiesOf(base), 2)
    })
  })
})

function kernelCalls(): ConstructorParameters<typeof CopySnapshotter>[0]['kernel'] {
  return {
    scanTree: (options) => kernel.scanTree(options),
    removeTree: (path, signal) => kernel.removeTree(path, signal),
    createMaker: (options) => kernel.createMaker(options),
    setXattr: (path, name, value) => kernel.setXattr(path, name, value),
    spreadChildren: (path) => kernel.spreadChildren(path),
    makeNode: (path, type, options) => kernel.makeNode(path, type, options),
  }
}
