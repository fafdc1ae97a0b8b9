import assert from 'node:assert/strict'
import { dir, file, hardlink, opaque, symlink, whiteout } from '../testing/entries.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { writeContents } from './contents.ts'
import type { LayerEntry } from './entry.ts'
import { normalizeEntries } from './normalize.ts'
import { LayerTree } from './tree.ts'

function paths(layers: readonly (readonly LayerEntry[])[]): string[] {
  return [...LayerTree.of(layers).walk('')].map(({ path, layer }) => `${layer}:${path}`)
}

describe('merged layers', () => {
  it('show the topmost entry of each path and say whose it is', () => {
    const layers = [[dir('etc'), file('etc/a'), file('etc/b')], [file('etc/b', 'changed')]]
    assert.deepEqual(paths(layers), ['-1:', '0:etc', '0:etc/a', '1:etc/b'])
  })

  it('hide what a whiteout names, wherever it stands in its layer', () => {
    const lower = [dir('a'), file('a/b'), file('a/c')]
    assert.deepEqual(paths([lower, [whiteout('a/b')]]), ['-1:', '0:a', '0:a/c'])
    assert.deepEqual(paths([lower, [file('a/b/d'), whiteout('a/b')]]), [
      '-1:',
      '0:a',
      '1:a/b',
      '1:a/b/d',
      '0:a/c',
    ])
  })

  it('hide what an opaque directory had below it, and nothing of its own layer', () => {
    const lower = [dir('a'), file('a/b'), dir('a/c'), file('a/c/d')]
    assert.deepEqual(paths([lower, [file('a/c/new'), opaque('a')]]), [
      '-1:',
      '0:a',
      '1:a/c',
      '1:a/c/new',
    ])
  })

  it('replace a directory by a file and a file by a directory', () => {
    const layers = [
      [dir('a'), file('a/x'), file('b')],
      [file('a'), file('b/y')],
    ]
    assert.deepEqual(paths(layers), ['-1:', '1:a', '1:b', '1:b/y'])
  })

  it('keep what lower layers say of a directory that a layer only implies', () => {
    const tree = LayerTree.of([[dir('tmp', { mode: 0o1777 })], [file('tmp/x')]])
    const node = tree.lookup('tmp')
    assert.deepEqual(node?.entry, dir('tmp', { mode: 0o1777 }))
  })

  it('give a hardlink the file that it names, also through links that sort before it', () => {
    const tree = LayerTree.of([[file('z'), hardlink('a', 'm'), hardlink('m', 'z')]])
    const node = tree.lookup('a')
    assert.deepEqual(node?.entry, { ...file('z'), path: 'a' })
    assert.equal(node?.source, 'z')
  })

  it('keep a hardlink when an upper layer removes the name that it was made from', () => {
    const tree = LayerTree.of([[file('a'), hardlink('b', 'a')], [whiteout('a')]])
    assert.equal(tree.lookup('a'), undefined)
    assert.deepEqual([tree.lookup('b')?.layer, tree.lookup('b')?.source], [0, 'a'])
  })

  it('are the same from tables of contents on disk', async () => {
    await using place = await temporaryDirectory()
    const layers = [
      [dir('a'), file('a/b'), hardlink('a/c', 'a/b')],
      [dir('a'), whiteout('a/b'), hardlink('a/d', 'a/e'), file('a/e')],
    ]
    const files = layers.map((_, index) => `${place.path}/${index}`)
    for (const [index, entries] of layers.entries()) {
      await writeContents(files[index] ?? '', normalizeEntries(entries))
    }
    assert.deepEqual(
      [...(await LayerTree.load(files)).walk('')],
      [...LayerTree.of(layers).walk('')],
    )
    assert.deepEqual(paths(layers), ['-1:', '1:a', '0:a/c', '1:a/d', '1:a/e'])
  })

  it('list children by the bytes of their names', () => {
    const tree = LayerTree.of([[file('d/é'), file('d/z'), file('d/\udc80'), file('d/\u{1f600}')]])
    assert.deepEqual(
      tree.children('d').map(({ path }) => path),
      ['d/z', 'd/\udc80', 'd/é', 'd/\u{1f600}'],
    )
    assert.deepEqual(tree.children('d/z'), [])
  })
})

describe('resolving in merged layers', () => {
  const tree = LayerTree.of([
    [
      dir('usr'),
      dir('usr/bin'),
      file('usr/bin/sh'),
      symlink('bin', 'usr/bin'),
      symlink('usr/absolute', '/usr/bin'),
      symlink('usr/out', '../../../../usr/bin/sh'),
      symlink('self', 'self'),
      symlink('dangling', 'usr/none/../other'),
    ],
  ])

  it('follows relative and absolute symlinks inside the root', () => {
    for (const path of [
      '/bin/sh',
      'usr/absolute/sh',
      '/usr/out',
      '//usr/./bin//sh',
      '../../bin/sh',
    ]) {
      const found = tree.resolve(path)
      assert.equal(found.kind === 'found' && found.path, 'usr/bin/sh', path)
    }
  })

  it('leaves a last symlink alone when asked to', () => {
    const found = tree.resolve('/bin', { followLast: false })
    assert.equal(found.kind === 'found' && found.path, 'bin')
    const below = tree.resolve('/bin/sh', { followLast: false })
    assert.equal(below.kind === 'found' && below.path, 'usr/bin/sh')
  })

  it('says where something missing would be made', () => {
    assert.deepEqual(tree.resolve('/bin/new/deep'), {
      kind: 'missing',
      path: 'usr/bin/new/deep',
      existing: 'usr/bin',
    })
    assert.deepEqual(tree.resolve('dangling/x'), {
      kind: 'missing',
      path: 'usr/other/x',
      existing: 'usr',
    })
    const back = tree.resolve('/none/../bin')
    assert.equal(back.kind === 'found' && back.path, 'usr/bin')
  })

  it('tells loops and files that would have to be directories', () => {
    assert.deepEqual(tree.resolve('/self/x'), { kind: 'loop', path: 'self' })
    assert.deepEqual(tree.resolve('/usr/bin/sh/x'), { kind: 'not-a-directory', path: 'usr/bin/sh' })
  })

  it('follows exactly as many symlinks as the kernel', () => {
    const chain = (length: number): LayerEntry[] => [
      file('l0'),
      ...Array.from({ length }, (_, index) => symlink(`l${index + 1}`, `l${index}`)),
    ]
    assert.equal(LayerTree.of([chain(40)]).resolve('l40').kind, 'found')
    assert.equal(LayerTree.of([chain(41)]).resolve('l41').kind, 'loop')
  })

  it('finds the root', () => {
    const found = tree.resolve('/..')
    assert.equal(found.kind === 'found' && found.path, '')
  })
})
