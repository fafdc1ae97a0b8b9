import assert from 'node:assert/strict'
import { goDuration, goQuote, parseGoDuration } from './go-format.ts'

describe('Go formats', () => {
  it('quotes like %q', () => {
    assert.equal(
      goQuote('a"\\\n\t\x07\x7f\u200bé😀\u{e0001}'),
      '"a\\"\\\\\\n\\t\\a\\x7f\\u200bé😀\\U000e0001"',
    )
  })

  it('reads durations', () => {
    assert.equal(parseGoDuration('1h2m3.5s'), 3_723_500_000_000n)
    assert.equal(parseGoDuration('-1.5ms'), -1_500_000n)
    assert.equal(parseGoDuration('.5us'), 500n)
    assert.equal(parseGoDuration('0'), 0n)
    for (const text of ['', '5', 's', '.s', '1x', '1s ', '9999999999h', '+']) {
      assert.equal(parseGoDuration(text), undefined, text)
    }
  })

  it('prints durations', () => {
    const printed = [0, 1, 1500, 1_500_000, 90e9, 3600e9, 3_661_500_000_000].map(goDuration)
    assert.deepEqual(printed, ['0s', '1ns', '1.5µs', '1.5ms', '1m30s', '1h0m0s', '1h1m1.5s'])
  })
})
