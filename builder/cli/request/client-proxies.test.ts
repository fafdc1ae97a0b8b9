import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { withClientProxies } from './client-proxies.ts'

describe('the proxies of config.json', () => {
  let directory = ''
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-proxies-'))
  })
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true })
  })

  const read = (own: readonly [string, string][]): Promise<Map<string, string>> =>
    withClientProxies(new Map(own), { DOCKER_CONFIG: directory })

  it('become build arguments in both spellings, unless the command line sets one', async () => {
    const proxies = { default: { httpProxy: 'http://p:1', noProxy: 'localhost', other: 'x' } }
    await writeFile(join(directory, 'config.json'), JSON.stringify({ auths: {}, proxies }))
    assert.deepEqual(
      await read([['no_proxy', 'mine']]),
      new Map([
        ['no_proxy', 'mine'],
        ['HTTP_PROXY', 'http://p:1'],
        ['http_proxy', 'http://p:1'],
      ]),
    )
  })

  it('are none without the file, and without proxies in it', async () => {
    assert.equal((await read([])).size, 0)
    await writeFile(join(directory, 'config.json'), '{"auths":{},"proxies":{"default":[]}}')
    assert.equal((await read([])).size, 0)
  })

  it('in a file that is no JSON are an error that names it', async () => {
    await writeFile(join(directory, 'config.json'), '{"proxies":')
    await assert.rejects(read([]), {
      code: 'config-invalid',
      message: /config\.json: (?!SyntaxError)/,
    })
  })
})
