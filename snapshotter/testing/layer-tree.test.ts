import assert from 'node:assert/strict'
import type { LayerEntry } from '../layer/entry.ts'
import { dir, file, hardlink, opaque, whiteout } from './entries.ts'
import { LayerTree } from './layer-tree.ts'

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

  it('list children by the bytes of their names', () => {
    const tree = LayerTree.of([[file('d/é'), file('d/z'), file('d/\udc80'), file('d/\u{1f600}')]])
    assert.deepEqual(
      tree.children('d').map(({ path }) => path),
      ['d/z', 'd/\udc80', 'd/é', 'd/\u{1f600}'],
    )
    assert.deepEqual(tree.children('d/z'), [])
  })
})
