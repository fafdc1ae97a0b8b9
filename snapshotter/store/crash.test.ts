import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type DiffId, digestOf } from '../../registry-client/oci/index.ts'
import { kernel } from '../native/kernel.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { openStore } from './store.ts'

const never = new AbortController().signal
const child = fileURLToPath(new URL('../testing/crash-child.js', import.meta.url))
const diffId = digestOf('layer tar') as string as DiffId
const bytes = 'layer bytes'

function run(
  root: string,
  step: number,
): { readonly steps: readonly string[]; readonly isKilled: boolean } {
  const result = spawnSync(process.execPath, [child, root, String(step)], { encoding: 'utf8' })
  assert.equal(result.stderr, '')
  return {
    steps: result.stdout.split('\n').filter((line) => line !== ''),
    isKilled: result.signal === 'SIGKILL',
  }
}

/** Opens the root as the next process does and checks that nothing in it is half or left over. */
async function checkRoot(root: string): Promise<void> {
  await using store = await openStore({ path: root, kernel }, never)
  const leases = (await readdir(store.root.workDir)).filter((name) => /^[0-9]/.test(name))
  assert.deepEqual(leases, [store.lease.directory.slice(store.root.workDir.length + 1)])
  for (const name of ['trash', 'locks'])
    assert.deepEqual(await unlocked(join(store.root.workDir, name)), [])
  const blobs = await store.blobs.digests()
  for (const digest of blobs) assert.equal(await readFile(store.blobs.path(digest), 'utf8'), bytes)
  const layer = await store.layers.get(diffId, never)
  if (layer !== undefined) {
    assert.deepEqual(
      [layer.blobs.length, layer.contents !== undefined, layer.directory !== undefined],
      [1, true, true],
    )
  }
  const directories = await readdir(join(store.root.layersDir, 'directories'))
  assert.equal(directories.length, layer === undefined ? 0 : 1)
}

/** A lock file whose holder was killed keeps its name until the next holder; it is empty and excludes nobody. */
async function unlocked(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => !name.startsWith('layer-'))
}

describe('a process killed while it stores a layer', () => {
  it('leaves nothing but garbage that the next process removes, at any step', async function () {
    this.timeout(60_000)
    await using place = await temporaryDirectory()
    const whole = run(join(place.path, 'whole'), 0)
    assert.equal(whole.isKilled, false)
    assert.ok(whole.steps.length >= 10, whole.steps.join(' '))
    await checkRoot(join(place.path, 'whole'))
    for (let step = 1; step <= whole.steps.length; step += 1) {
      const root = join(place.path, `killed-${step}`)
      assert.equal(run(root, step).isKilled, true, `step ${step}`)
      await checkRoot(root)
    }
  })

  it('can be followed by one that does the same work', async () => {
    await using place = await temporaryDirectory()
    run(place.path, 4)
    run(place.path, 0)
    await using store = await openStore({ path: place.path, kernel }, never)
    assert.notEqual((await store.layers.get(diffId, never))?.directory, undefined)
  })
})
