import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kernel } from '../../snapshotter/index.ts'
import { temporaryPaths } from '../../snapshotter/testing/temporary-directory.ts'
import { ContextState } from './context-state.ts'

describe('the state of a context', () => {
  let place: string
  let root: string

  beforeEach(async () => {
    place = await mkdtemp(join(tmpdir(), 'tsbuild-state-'))
    root = join(place, 'context')
    await mkdir(join(root, 'node_modules/a'), { recursive: true })
    await mkdir(join(root, 'src'))
    await writeFile(join(root, 'src/main.js'), 'x')
    await writeFile(join(root, 'node_modules/a/index.js'), 'x')
  })

  afterEach(async () => {
    await rm(place, { recursive: true, force: true })
  })

  /** As the next build opens it; a minute later unless it is said. */
  const open = (patterns: readonly string[] = [], laterMs = 60_000): ContextState =>
    new ContextState({
      kernel,
      root,
      patterns,
      file: join(place, 'closed'),
      temporaryPath: temporaryPaths(place),
      signal: new AbortController().signal,
      now: () => Date.now() + laterMs,
    })

  it('is the same in the next build, another one after a change', async () => {
    const first = await open().of('')
    assert.notEqual(first, undefined)
    assert.equal(await open().of(''), first)
    await writeFile(join(root, 'src/main.js'), 'y')
    assert.notEqual(await open().of(''), first)
  })

  it('is not told of what was changed just now: it could change again and look the same', async () => {
    assert.equal(await open([], 0).of(''), undefined)
  })

  it('depends on what is ignored', async () => {
    const whole = await open().of('src')
    await open(['node_modules']).remember(['node_modules'])
    const other = await open(['node_modules']).of('src')
    assert.notEqual(other, undefined)
    assert.notEqual(other, whole)
  })

  it('is known once a build listed what is ignored, and does not enter that', async () => {
    const patterns = ['node_modules']
    assert.equal(await open(patterns).of(''), undefined)
    await open(patterns).remember(['node_modules'])
    const known = await open(patterns).of('')
    assert.notEqual(known, undefined)
    await writeFile(join(root, 'node_modules/a/new.js'), 'x')
    assert.equal(await open(patterns).of(''), known)
    assert.equal(await open(['src', 'node_modules']).of(''), undefined)
  })

  it('remembers what is ignored in several parts of a context', async () => {
    await mkdir(join(root, 'src/tmp'))
    const patterns = ['**/tmp', 'node_modules']
    await open(patterns).remember(['node_modules'])
    await open(patterns).remember(['src/tmp'])
    const known = await open(patterns).of('')
    await writeFile(join(root, 'src/tmp/x'), 'x')
    await writeFile(join(root, 'node_modules/x'), 'x')
    assert.equal(await open(patterns).of(''), known)
  })

  it('is left to those who list the context where a link or nothing is in the way', async () => {
    await symlink('src', join(root, 'link'))
    assert.equal(await open().of('link'), undefined)
    assert.equal(await open().of('link/main.js'), undefined)
    assert.equal(await open().of('nothing'), undefined)
  })

  it('takes a damaged memory for none', async () => {
    await writeFile(join(place, 'closed'), '{"patterns":')
    assert.equal(await open(['node_modules']).of(''), undefined)
  })
})
