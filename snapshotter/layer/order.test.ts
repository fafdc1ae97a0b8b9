import assert from 'node:assert/strict'
import fc from 'fast-check'
import { comparePaths, joinPath, nameOf, parentOf } from './order.ts'
import { encodePath } from './path-bytes.ts'

describe('order of paths', () => {
  it('puts what is in a directory right after it', () => {
    const paths = ['a.b', 'a/b', 'a', 'a-b', 'a/b/c', 'b']
    assert.deepEqual(paths.sort(comparePaths), ['a', 'a/b', 'a/b/c', 'a-b', 'a.b', 'b'])
  })

  it('agrees with the bytes of the components for any name', () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 4 }),
      fc.constantFrom('\udc80', '\udcff', '\u{1f600}', '\ufffd', 'é', '~'),
    )
    const component = name.filter((text) => !text.includes('/') && !text.includes('\0'))
    const path = fc.array(component, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
    fc.assert(
      fc.property(path, path, (a, b) => {
        assert.equal(Math.sign(comparePaths(a, b)), Math.sign(compareComponents(a, b)))
      }),
    )
  })

  it('splits and joins at the last slash', () => {
    assert.deepEqual([parentOf('a/b/c'), parentOf('a'), parentOf('')], ['a/b', '', ''])
    assert.deepEqual([nameOf('a/b/c'), nameOf('a')], ['c', 'a'])
    assert.deepEqual([joinPath('a/b', 'c'), joinPath('', 'c')], ['a/b/c', 'c'])
  })
})

function compareComponents(a: string, b: string): number {
  const left = a.split('/').map((part) => Buffer.from(encodePath(part)))
  const right = b.split('/').map((part) => Buffer.from(encodePath(part)))
  for (let index = 0; index < Math.min(left.length, right.length); index += 1) {
    const order = Buffer.compare(left[index] ?? Buffer.alloc(0), right[index] ?? Buffer.alloc(0))
    if (order !== 0) return order
  }
  return left.length - right.length
}
