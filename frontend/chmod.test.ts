import assert from 'node:assert/strict'
import { applyChmod, parseChmod } from './chmod.ts'

function apply(text: string, mode: number, isDirectory = false): string {
  const chmod = parseChmod(text)
  assert.ok(chmod !== undefined, text)
  return applyChmod(chmod, mode, isDirectory).toString(8)
}

describe('chmod', () => {
  it('sets an octal mode as it is', () => {
    assert.equal(apply('4755', 0o600), '4755')
    assert.equal(apply('0', 0o777), '0')
    for (const text of ['10000', '9', '8x', '07x']) assert.equal(parseChmod(text), undefined)
  })

  it('applies symbolic modes step by step', () => {
    assert.equal(apply('u=rwx,go=rx', 0o600), '755')
    assert.equal(apply('+x', 0o644), '755')
    assert.equal(apply('a-w', 0o666), '444')
    assert.equal(apply('u+x,g-r', 0o644), '704')
    assert.equal(apply('go=', 0o777), '700')
    assert.equal(apply('u=rw+x-w', 0o000), '500')
  })

  it('copies permissions of a class', () => {
    assert.equal(apply('g=u', 0o740), '770')
    assert.equal(apply('go=u-w', 0o700), '755')
    assert.equal(apply('o+g', 0o751), '755')
  })

  it('adds X where there is an x already, and to directories', () => {
    assert.equal(apply('u=rwX,go=rX', 0o600), '644')
    assert.equal(apply('u=rwX,go=rX', 0o700), '755')
    assert.equal(apply('u=rwX,go=rX', 0o600, true), '755')
  })

  it('sets set-id and sticky bits', () => {
    assert.equal(apply('u+s', 0o755), '4755')
    assert.equal(apply('g+s', 0o755), '2755')
    assert.equal(apply('+t', 0o777), '1777')
    assert.equal(apply('o+s', 0o755), '755')
  })

  it('takes a sticky bit without a class for all that is meant', () => {
    // setmode(3) as BuildKit has it: expected values are those of its library.
    assert.equal(apply('=st', 0o026, true), '1026')
    assert.equal(apply('-Xt', 0o611), '611')
    assert.equal(apply('+ts', 0o5053), '5053')
    assert.equal(apply('u+st', 0o644), '5644')
  })

  it('reads a copy among letters in the order in which they stand', () => {
    assert.equal(apply('a=uw', 0o766, true), '222')
    assert.equal(apply('ga=ow', 0o006, true), '222')
    assert.equal(apply('-oXt', 0o726), '100')
    assert.equal(apply('=xu', 0o411), '111')
  })

  it('refuses what is no mode', () => {
    for (const text of ['', 'u', 'x', 'u+q', 'z+x', 'u=r,', ',u=r', '+ x']) {
      assert.equal(parseChmod(text), undefined, text)
    }
  })
})
