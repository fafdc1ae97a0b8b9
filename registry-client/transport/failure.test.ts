import assert from 'node:assert/strict'
import { RegistryError } from '../errors.ts'
import { describeConnectionError } from './failure.ts'

const URL_ASKED = new URL('https://registry.example:5000/v2/?secret=1')

function described(code: string, message = 'x'): RegistryError {
  const error = describeConnectionError(Object.assign(new Error(message), { code }), URL_ASKED)
  assert.ok(error instanceof RegistryError)
  assert.doesNotMatch(error.message, /secret/)
  return error
}

describe('describeConnectionError', () => {
  it('tells what may pass from what will not', () => {
    assert.equal(described('ECONNRESET').isTemporary, true)
    assert.equal(described('UND_ERR_HEADERS_TIMEOUT').code, 'timeout')
    assert.equal(described('EAI_AGAIN').isTemporary, true)
    assert.equal(described('ENOTFOUND').isTemporary, false)
    assert.equal(described('ECONNREFUSED').isTemporary, false)
  })

  it('says what to do about certificates', () => {
    const untrusted = described('DEPTH_ZERO_SELF_SIGNED_CERT')
    assert.equal(untrusted.code, 'tls-untrusted')
    assert.match(untrusted.message, /docker\/certs\.d\/registry\.example:5000\/ca\.crt$/)
    assert.match(described('CERT_HAS_EXPIRED').message, /has expired$/)
    const refused = described('ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE')
    assert.match(refused.message, /client\.cert and client\.key/)
  })

  it('says when the authority at hand is another one, and which names a certificate has', () => {
    const error = Object.assign(new Error('x'), { code: 'SELF_SIGNED_CERT_IN_CHAIN' })
    const found = describeConnectionError(error, URL_ASKED, {
      proxy: undefined,
      hasOwnAuthorities: true,
    })
    assert.match(String(found), /unknown authority, by none of those set up for this host/)
    const cert = { subjectaltname: 'DNS:other.example, DNS:\u001b[2J' }
    const other = Object.assign(new Error('x'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID', cert })
    const named = String(describeConnectionError(other, URL_ASKED))
    assert.match(named, /for another host name \(DNS:other\.example, DNS:\?\?2J\)$/)
  })

  it('recognises an answer in plain http, whatever code it comes with', () => {
    const message = 'write EPROTO 0A00010B:SSL routines:ssl3_get_record:wrong version number'
    assert.match(described('EPROTO', message).message, /plain http/)
  })

  it('looks into wrapped errors', () => {
    const inner = Object.assign(new Error('x'), { code: 'ECONNRESET' })
    const wrapped = new Error('socket', { cause: inner })
    const all = new AggregateError([Object.assign(new Error('x'), { code: 'ECONNREFUSED' })])
    for (const error of [wrapped, all]) {
      assert.ok(describeConnectionError(error, URL_ASKED) instanceof RegistryError)
    }
  })

  it('gives back what it does not know', () => {
    for (const error of [new Error('x'), Object.assign(new Error('x'), { code: 'ENOSPC' }), 'x']) {
      assert.equal(describeConnectionError(error, URL_ASKED), error)
    }
  })
})
