import assert from 'node:assert/strict'
import { hostsFile, isStubResolver, resolvConf } from './network-files.ts'

describe('hostsFile', () => {
  it('names localhost, the host and what was added, in that order', () => {
    const text = hostsFile('buildkitsandbox', [
      { name: 'one.test', address: '10.1.2.3' },
      { name: 'two.test', address: 'fd00::1' },
    ])
    assert.equal(
      text,
      '127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n10.1.2.3\tone.test\nfd00::1\ttwo.test\n',
    )
  })

  it('names localhost alone for a step without a host name', () => {
    assert.match(hostsFile('', []), /^127\.0\.0\.1\tlocalhost\n/)
  })
})

describe('resolvConf', () => {
  it('is the file of the host in the network of the host', () => {
    const text = 'nameserver 127.0.0.1\nsearch a.test\n'
    assert.equal(resolvConf(text, 'shared'), text)
  })

  it('leaves out resolvers on the loopback, which another network cannot reach', () => {
    const text =
      '# by hand\nnameserver 127.0.0.1\nnameserver ::1\nnameserver 10.0.0.2\noptions ndots:2\n'
    assert.equal(resolvConf(text, 'isolated'), '# by hand\nnameserver 10.0.0.2\noptions ndots:2\n')
  })

  it('names public resolvers when none is left', () => {
    const text = resolvConf('search a.test\nnameserver 127.0.0.53', 'isolated')
    assert.equal(
      text,
      'search a.test\nnameserver 8.8.8.8\nnameserver 8.8.4.4\nnameserver 2001:4860:4860::8888\nnameserver 2001:4860:4860::8844\n',
    )
  })
})

describe('resolvConf with a forwarder', () => {
  const reach = { forwarder: '10.0.2.3' }

  it('names the forwarder first, and stands for resolvers on the loopback', () => {
    const text = 'search a.test\nnameserver 127.0.0.53\nnameserver 10.0.0.2\noptions ndots:2\n'
    assert.equal(
      resolvConf(text, reach),
      'search a.test\nnameserver 10.0.2.3\nnameserver 10.0.0.2\noptions ndots:2\n',
    )
    assert.equal(resolvConf('nameserver 127.0.0.53\n', reach), 'nameserver 10.0.2.3\n')
  })

  it('is not named where the host has only IPv6 resolvers, which it would not ask', () => {
    assert.equal(resolvConf('nameserver fd00::1\n', reach), 'nameserver fd00::1\n')
    assert.match(resolvConf('nameserver ::1\n', reach), /^nameserver 8\.8\.8\.8\n/)
  })
})

describe('isStubResolver', () => {
  it("is true for systemd's stub alone", () => {
    assert.equal(isStubResolver('nameserver 127.0.0.53\noptions edns0\n'), true)
    assert.equal(isStubResolver('nameserver 127.0.0.53\nnameserver 10.0.0.1\n'), false)
    assert.equal(isStubResolver(''), false)
  })
})
