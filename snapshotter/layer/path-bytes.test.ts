import assert from 'node:assert/strict'
import fc from 'fast-check'
import { decodePath, encodePath } from './path-bytes.ts'

describe('path bytes', () => {
  it('keeps UTF-8 as it is', () => {
    for (const text of ['', 'plain', 'ä/ß', '日本', '😀', '\ufeffmark']) {
      assert.equal(decodePath(Buffer.from(text)), text)
      assert.deepEqual(encodePath(text), Buffer.from(text))
    }
  })

  it('escapes each byte that is not part of UTF-8', () => {
    assert.equal(decodePath(Buffer.from([0x61, 0xff, 0xc3, 0xa4, 0xc3])), 'a\udcffä\udcc3')
    // An encoded surrogate and an overlong slash are no UTF-8.
    assert.equal(decodePath(Buffer.from([0xed, 0xa0, 0x80])), '\udced\udca0\udc80')
    assert.equal(decodePath(Buffer.from([0xc0, 0xaf])), '\udcc0\udcaf')
  })

  it('writes U+FFFD for a surrogate that stands for no byte', () => {
    assert.deepEqual(encodePath('a\ud800b'), Buffer.from('a\ufffdb'))
  })

  it('gives back any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        assert.deepEqual(encodePath(decodePath(bytes)), Buffer.from(bytes))
      }),
    )
  })
})
