import assert from 'node:assert/strict'
import { RegistryError } from '../errors.ts'
import { proxyFor } from './proxy.ts'

const PROXY = 'http://proxy.example:3128'

function isProxied(url: string, noProxy: string): boolean {
  return (
    proxyFor(new URL(url), { HTTP_PROXY: PROXY, HTTPS_PROXY: PROXY, NO_PROXY: noProxy }) !==
    undefined
  )
}

describe('proxyFor', () => {
  it('goes by the scheme, in either case of the name', () => {
    assert.equal(proxyFor(new URL('https://r.example/'), { HTTP_PROXY: PROXY }), undefined)
    assert.equal(
      proxyFor(new URL('https://r.example/'), { https_proxy: PROXY })?.host,
      'proxy.example:3128',
    )
    assert.equal(
      proxyFor(new URL('http://r.example/'), { HTTP_PROXY: 'proxy:80' })?.href,
      'http://proxy/',
    )
    assert.equal(proxyFor(new URL('https://r.example/'), { HTTPS_PROXY: '' }), undefined)
  })

  it('never applies to loopback', () => {
    for (const url of [
      'http://localhost:5000',
      'http://127.0.0.1:5000',
      'https://127.8.8.8',
      'http://[::1]:5000',
    ]) {
      assert.equal(isProxied(url, ''), false, url)
    }
  })

  const exempt: readonly (readonly [url: string, noProxy: string])[] = [
    ['https://r.example', '*'],
    ['https://r.example', 'r.example'],
    ['https://sub.r.example', 'r.example'],
    ['https://sub.r.example', '.r.example'],
    ['https://sub.r.example', '*.r.example'],
    ['https://R.Example', 'x, r.EXAMPLE ,y'],
    ['https://r.example:8443', 'r.example:8443'],
    ['https://r.example', 'r.example:443'],
    ['https://10.1.2.3', '10.0.0.0/8'],
    ['https://10.1.2.3:5000', '10.1.2.3'],
    ['https://[fd00::5]', 'fd00::/8'],
    ['https://[fd00::5]:5000', '[fd00::5]:5000'],
  ]
  for (const [url, noProxy] of exempt) {
    it(`leaves ${url} alone for NO_PROXY=${noProxy}`, () =>
      assert.equal(isProxied(url, noProxy), false))
  }

  const proxied: readonly (readonly [url: string, noProxy: string])[] = [
    ['https://r.example', '.r.example'],
    ['https://xr.example', 'r.example'],
    ['https://r.example:8443', 'r.example:443'],
    ['https://11.1.2.3', '10.0.0.0/8'],
    ['https://r.example', '10.0.0.0/8'],
    ['https://10.1.2.3', '10.0.0.0/99'],
    ['https://r.example', ', ,'],
  ]
  for (const [url, noProxy] of proxied) {
    it(`proxies ${url} despite NO_PROXY=${noProxy}`, () =>
      assert.equal(isProxied(url, noProxy), true))
  }

  it('refuses a proxy that it cannot speak to, without showing its password', () => {
    assert.throws(
      () => proxyFor(new URL('https://r.example'), { HTTPS_PROXY: 'socks5://user:hunter2@p:1' }),
      (error) =>
        error instanceof RegistryError &&
        error.code === 'bad-configuration' &&
        !error.message.includes('hunter2'),
    )
  })
})
