import assert from 'node:assert/strict'
import { checkTaken } from './copy-taken.ts'

const tree = { description: 'the context' }

describe('a pattern of COPY that matches nothing', () => {
  const check =
    (pattern: string, taken: readonly string[], isParents = false) =>
    () =>
      checkTaken(tree, { pattern, isParents, taken: [pattern, ...taken] })
  const missing = (path: string) => ({ code: 'source-missing', message: new RegExp(`"${path}"`) })

  it('wants its directory to be there: something else of it is taken', () => {
    assert.throws(check('d/*.zip', []), missing('/d'))
    assert.throws(
      check('./d/s/*.zip', ['a', '*.md', 'dd', 'd/t', 'd/s/../u', 'e/*']),
      missing('/d/s'),
    )
    for (const other of ['d', '/d/', 'd/f', '.', '/', 'd/*.md', '*', '?/x', '**/x', 'd/s/f']) {
      assert.doesNotThrow(check('d/*.zip', [other]), other)
    }
  })

  it('is right in the root, and without a wildcard', () => {
    for (const pattern of ['*.zip', '*/a', './*', 'd']) assert.doesNotThrow(check(pattern, []))
  })

  it('counts from the pivot of --parents on', () => {
    assert.throws(check('d/./*.zip', ['a'], true), missing('/d'))
    assert.throws(check('d/s/./t/*.zip', ['d/t'], true), missing('/d/s'))
    for (const pattern of ['d/*.zip', './d/*.zip', '*/./x', 'd/./x']) {
      assert.doesNotThrow(check(pattern, [], true), pattern)
    }
  })
})
