import assert from 'node:assert/strict'
import { endpointOf, isInsecure } from './endpoint.ts'
import { isForbiddenAddress } from './forbidden-address.ts'

const plainPolicy = {
  insecureRegistries: [],
  hasCertificates: () => false,
  hasExtraAuthorities: false,
}

function urlOf(registry: string, policy: Parameters<typeof endpointOf>[1] = plainPolicy): string {
  return endpointOf(registry, policy).baseUrl.href
}

describe('endpointOf', () => {
  it("knows where Docker Hub's API is", () => {
    assert.equal(urlOf('docker.io'), 'https://registry-1.docker.io/v2/')
  })

  it('speaks plain http with loopback names on any port, and TLS with all others', () => {
    for (const name of [
      'localhost',
      'localhost:5000',
      '127.0.0.1:5000',
      '127.9.9.9',
      '[::1]:5000',
    ]) {
      assert.equal(urlOf(name), `http://${name}/v2/`)
    }
    for (const name of [
      'registry.example',
      'localhost.example',
      '10.0.0.1:5000',
      '128.0.0.1',
      'xlocalhost',
    ]) {
      assert.equal(urlOf(name), `https://${name}/v2/`)
    }
  })

  it('speaks TLS on loopback when certificates were set up for it', () => {
    assert.equal(
      urlOf('localhost:5000', { ...plainPolicy, hasCertificates: () => true }),
      'https://localhost:5000/v2/',
    )
  })

  it('tries TLS first on loopback when authorities were named', () => {
    const endpoint = endpointOf('localhost:5000', { ...plainPolicy, hasExtraAuthorities: true })
    assert.equal(endpoint.baseUrl.href, 'https://localhost:5000/v2/')
    assert.equal(endpoint.fallbackUrl?.href, 'http://localhost:5000/v2/')
  })

  it('offers plain http as second only for registries named as insecure', () => {
    const policy = { ...plainPolicy, insecureRegistries: ['r.example:5000'] }
    assert.equal(
      endpointOf('r.example:5000', policy).fallbackUrl?.href,
      'http://r.example:5000/v2/',
    )
    assert.equal(endpointOf('r.example:5001', policy).fallbackUrl, undefined)
  })
})

describe('isInsecure', () => {
  it('matches a host with any port, a host with its port, and CIDR blocks', () => {
    assert.equal(isInsecure('r.example:5000', ['r.example']), true)
    assert.equal(isInsecure('r.example:5000', ['r.example:5000']), true)
    assert.equal(isInsecure('10.1.2.3:5000', ['10.0.0.0/8']), true)
    assert.equal(isInsecure('11.1.2.3:5000', ['10.0.0.0/8']), false)
    assert.equal(isInsecure('sub.r.example', ['r.example']), false)
    assert.equal(isInsecure('sub.r.example:5000', ['*.r.example']), true)
    assert.equal(isInsecure('r.example', ['*.r.example']), false)
  })
})

describe('isForbiddenAddress', () => {
  it('holds for link-local and metadata addresses in all spellings', () => {
    for (const host of [
      '169.254.169.254',
      '[fe80::1]',
      'fe80::1%eth0',
      '[::ffff:169.254.169.254]',
      'fd00:ec2::254',
      '100.100.100.200',
      'metadata.google.internal.',
      '0.0.0.0',
    ]) {
      assert.equal(isForbiddenAddress(host), true, host)
    }
  })

  it('does not hold for others', () => {
    for (const host of ['127.0.0.1', '10.0.0.1', 'registry.example', '[::1]', '169.253.0.1']) {
      assert.equal(isForbiddenAddress(host), false, host)
    }
  })
})
