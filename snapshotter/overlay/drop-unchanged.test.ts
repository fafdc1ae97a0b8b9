import assert from 'node:assert/strict'
import {
  chmod,
  copyFile,
  link,
  lutimes,
  mkdir,
  mkdtemp,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kernel } from '../native/kernel.ts'
import { allOf, pagesOf } from '../testing/pages.ts'
import { requires } from '../testing/requires.ts'
import { dropUnchanged } from './drop-unchanged.ts'

const never = new AbortController().signal
const LONG_AGO = 1_000_000_000

describe('dropUnchanged', () => {
  requires('root')
  let directory: string
  let lower: string
  let upperDir: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-drop-'))
    lower = join(directory, 'lower')
    upperDir = join(directory, 'upper')
    await mkdir(lower)
    await mkdir(upperDir)
    await put(lower, 'd/f', 'text')
    await put(upperDir, 'd/f', 'text')
  })
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true })
  })

  async function put(root: string, path: string, text: string, timeSec = LONG_AGO): Promise<void> {
    const at = join(root, path)
    await mkdir(join(at, '..'), { recursive: true })
    await writeFile(at, text)
    await utimes(at, timeSec, timeSec)
  }

  async function kept(...lowerDirs: readonly string[]): Promise<string[]> {
    const scanned = await kernel.scanTree({ root: upperDir, withXattrs: true, signal: never })
    const options = { kernel, userXattr: false, upperDir }
    const lowers = lowerDirs.length === 0 ? [lower] : lowerDirs
    const places = { ...options, lowerDirs: lowers }
    const left = await allOf(dropUnchanged(pagesOf(scanned), places, never))
    return left.map(({ path }) => path)
  }

  it('drops what equals the layer below, with the directories that only led there', async () => {
    assert.deepEqual(await kept(), [])
  })

  it('keeps only the further names of a file that is below', async () => {
    await link(join(upperDir, 'd/f'), join(upperDir, 'd/g'))
    await link(join(upperDir, 'd/f'), join(upperDir, 'h'))
    assert.deepEqual(await kept(), ['d', 'd/g', 'h'])
  })

  const changes: readonly (readonly [string, () => Promise<void>])[] = [
    ['another mode', () => chmod(join(upperDir, 'd/f'), 0o600)],
    ['another time', () => utimes(join(upperDir, 'd/f'), LONG_AGO, LONG_AGO + 1)],
    ['another size', () => put(upperDir, 'd/f', 'text!')],
    ['other bytes under a time without a fraction', () => put(upperDir, 'd/f', 'TEXT')],
    [
      'an attribute',
      async () => kernel.setXattr(join(upperDir, 'd/f'), 'user.a', Buffer.from('1')),
    ],
  ]
  for (const [name, change] of changes) {
    it(`keeps a file that has ${name}, with its directory`, async () => {
      await change()
      assert.deepEqual((await kept()).slice(0, 2), ['d', 'd/f'])
    })
  }

  const nodes: readonly (readonly [string, (root: string, other: boolean) => Promise<void>])[] = [
    [
      'a device with another number',
      async (root, other) =>
        kernel.makeNode(join(root, 'd/node'), 'char', {
          mode: 0o600,
          major: 1,
          minor: other ? 0x1_0003 : 3,
        }),
    ],
    [
      'a link with another target of the same length',
      (root, other) => symlink(other ? 'b' : 'a', join(root, 'd/node')),
    ],
  ]
  for (const [name, make] of nodes) {
    it(`keeps ${name}, drops it unchanged`, async () => {
      for (const isOther of [false, true]) {
        for (const [root, other] of [
          [lower, false],
          [upperDir, isOther],
        ] as const) {
          await rm(join(root, 'd/node'), { force: true })
          await make(root, other)
          await lutimes(join(root, 'd/node'), LONG_AGO, LONG_AGO)
        }
        assert.deepEqual(await kept(), isOther ? ['d', 'd/node'] : [])
      }
    })
  }

  it('notices a capability that was taken away', async () => {
    await copyFile('/bin/true', join(lower, 'd/f'))
    await copyFile('/bin/true', join(upperDir, 'd/f'))
    for (const root of [lower, upperDir]) await utimes(join(root, 'd/f'), LONG_AGO, LONG_AGO)
    const capability = Buffer.from('0000000200200000000000000000000000000000', 'hex')
    capability.writeUInt32LE(0x0200_0000)
    kernel.setXattr(join(lower, 'd/f'), 'security.capability', capability)
    assert.deepEqual(await kept(), ['d', 'd/f'])
  })

  it('compares with what is visible: not what a whiteout, a file or an opaque mark hides', async () => {
    const between = join(directory, 'between')
    await mkdir(join(between, 'd'), { recursive: true })
    kernel.makeNode(join(between, 'd/f'), 'char', { mode: 0, major: 0, minor: 0 })
    assert.deepEqual(await kept(between, lower), ['d', 'd/f'])
    await rm(join(between, 'd/f'))
    assert.deepEqual(await kept(between, lower), [])
    kernel.setXattr(join(between, 'd'), 'trusted.overlay.opaque', Buffer.from('y'))
    assert.deepEqual(await kept(between, lower), ['d', 'd/f'])
    await rm(join(between, 'd'), { recursive: true })
    await writeFile(join(between, 'd'), '')
    assert.deepEqual(await kept(between, lower), ['d', 'd/f'])
  })

  it('keeps a directory made anew over another, which hides what was in it', async () => {
    kernel.setXattr(join(upperDir, 'd'), 'trusted.overlay.opaque', Buffer.from('y'))
    assert.deepEqual(await kept(), ['d', 'd/f'])
  })
})
