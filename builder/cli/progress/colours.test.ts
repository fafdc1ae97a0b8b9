import assert from 'node:assert/strict'
import { readColours } from './colours.ts'

describe('BUILDKIT_COLORS', () => {
  it('names colours, or gives their parts', () => {
    assert.deepEqual(readColours({ BUILDKIT_COLORS: 'run=light-green:error=255,165,0' }), {
      run: '92',
      cancel: '33',
      error: '38;2;255;165;0',
      warning: '33',
    })
  })

  it('keeps the default of what it does not understand', () => {
    const text = 'run=mauve:error=1,2,999:cancel:wrong=red:=:warning=1;31m'
    assert.deepEqual(readColours({ BUILDKIT_COLORS: text }), readColours({}))
  })

  it('gives way to NO_COLOR', () => {
    assert.equal(readColours({ NO_COLOR: '1', BUILDKIT_COLORS: 'run=red' }), undefined)
    assert.notEqual(readColours({ NO_COLOR: '' }), undefined)
  })
})
