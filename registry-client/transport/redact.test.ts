import assert from 'node:assert/strict'
import { redactText, redactUrl } from './redact.ts'

describe('redactUrl', () => {
  it('drops user, password, query and fragment', () => {
    assert.equal(redactUrl(new URL('https://u:p@h:1/a/b?X-Amz-Signature=s#f')), 'https://h:1/a/b')
  })
})

describe('redactText', () => {
  it('masks secrets, authorization values and the queries of URLs', () => {
    const text =
      'sent hunter2 with Bearer abcdefghijkl to https://u:pw@h/x?sig=1 and https://h/y?sig=2.'
    const safe = redactText(text, ['hunter2'])
    assert.doesNotMatch(safe, /hunter2|abcdefghijkl|sig=|pw@/)
    assert.match(safe, /https:\/\/h\/x/)
  })

  it('removes control characters, which could forge lines or colours in a log', () => {
    assert.equal(redactText('a\u001b[31m\nb\u0000\u202ec'), 'a [31m b c')
  })

  it('masks a secret of several lines, a key for example', () => {
    assert.equal(redactText('got a key\n-- 1\n-- 2\n.', ['a key\n-- 1\n-- 2']), 'got *** .')
  })

  it('cuts long texts', () => {
    assert.equal(redactText('x'.repeat(600)).length, 501)
  })
})
