import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestOf } from '../../registry-client/oci/index.ts'
import { temporaryPaths } from '../../snapshotter/testing/temporary-directory.ts'
import { CopyError, type CopyErrorCode } from './copy-errors.ts'
import { type Download, download, type DownloadRequest, redactUrl } from './http.ts'
import { serveHttp } from './testing/http-server.ts'

describe('download', () => {
  let directory = ''
  let server: Server
  let base = ''
  const requests: { url: string; etag: string | undefined; authorization: string | undefined }[] =
    []
  let handle: (request: IncomingMessage, response: ServerResponse) => void

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-http-'))
    requests.length = 0
    handle = (_request, response) => {
      response.writeHead(200, { etag: '"1"', 'last-modified': 'Wed, 21 Oct 2015 07:28:00 GMT' })
      response.end('hello')
    }
    server = createServer((request, response) => {
      const { 'if-none-match': etag, authorization } = request.headers
      requests.push({ url: request.url ?? '', etag, authorization })
      if (etag === '"1"') {
        response.writeHead(304).end()
      } else {
        handle(request, response)
      }
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address() as AddressInfo
    base = `http://127.0.0.1:${address.port}`
  })

  afterEach(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    rmSync(directory, { recursive: true })
  })

  const get = (
    request: Partial<DownloadRequest> = {},
    sizeBytesMax = 1000,
    env: Readonly<Record<string, string>> = {},
  ): Promise<Download> =>
    download(
      { url: `${base}/f`, checksum: undefined, ...request },
      {
        directory: join(directory, 'kept'),
        temporaryPath: temporaryPaths(directory),
        sizeBytesMax,
        env,
        signal: new AbortController().signal,
      },
    )

  const unfinished = (): string[] => readdirSync(directory).filter((name) => name !== 'kept')

  const fails = async (
    code: CopyErrorCode,
    words: RegExp,
    work: Promise<unknown>,
  ): Promise<void> => {
    const before = unfinished()
    await assert.rejects(work, (error) => {
      assert(error instanceof CopyError)
      assert.equal(error.code, code)
      assert.match(error.message, words)
      return true
    })
    assert.deepEqual(unfinished(), before)
  }

  it('stores the file with its digest and time', async () => {
    const { file, digest, sizeBytes, lastModifiedSec } = await get()
    assert.equal(readFileSync(file, 'utf8'), 'hello')
    assert.deepEqual([digest, sizeBytes, lastModifiedSec], [digestOf('hello'), 5, 1445412480])
  })

  it('asks again with the ETag and takes the earlier file', async () => {
    const { file: _first, ...first } = await get()
    const { file, ...second } = await get()
    assert.deepEqual(second, first)
    assert.equal(readFileSync(file, 'utf8'), 'hello')
    assert.deepEqual(
      requests.map(({ etag }) => etag),
      [undefined, '"1"'],
    )
  })

  it('asks nobody when a checksum names the file that is there', async () => {
    await get()
    await get({ checksum: digestOf('hello') })
    assert.equal(requests.length, 1)
  })

  it('gives a file that stays when what is kept is pruned', async () => {
    const { file } = await get()
    rmSync(join(directory, 'kept'), { recursive: true })
    assert.equal(readFileSync(file, 'utf8'), 'hello')
    await get()
    assert.equal(requests.length, 2)
  })

  it('refuses bytes that do not match the checksum', async () => {
    const other = digestOf('other')
    await fails('checksum-mismatch', /digest mismatch sha256:.*: sha256:/, get({ checksum: other }))
    await get()
    await fails('checksum-mismatch', /digest mismatch/, get({ checksum: other }))
  })

  it('asks the proxy that the environment names', async () => {
    const url = 'http://files.example/f?x'
    await get({ url }, 1000, { HTTP_PROXY: base })
    assert.deepEqual(
      requests.map((request) => request.url),
      [url],
    )
    const env = { http_proxy: base, NO_PROXY: '127.0.0.0/8,other.example' }
    await get({ url: 'http://else.example/' }, 1000, env)
    assert.equal(requests.at(-1)?.url, 'http://else.example/')
  })

  it('goes to https hosts through the proxy, and says what the proxy answers', async () => {
    const asked: unknown[] = []
    server.on('connect', (request, socket) => {
      asked.push(request.url, request.headers['proxy-authorization'])
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
    })
    const env = { HTTPS_PROXY: base.replace('//', '//me:p%40ss@') }
    const url = 'https://files.example/f'
    await fails('download-failed', /the proxy 127.0.0.1:\d+ answered 403/, get({ url }, 1000, env))
    const login = Buffer.from('me:p@ss').toString('base64')
    assert.deepEqual(asked, ['files.example:443', `Basic ${login}`])
  })

  it('follows redirects and keeps headers to the host that they are for', async () => {
    await using elsewhere = await serveHttp((request, response) => {
      requests.push({
        url: request.url ?? '',
        etag: undefined,
        authorization: request.headers.authorization,
      })
      response.end('there')
    })
    handle = (request, response) => {
      const location = request.url === '/f' ? '/g' : `http://${elsewhere.host}/h`
      response.writeHead(302, { location }).end()
    }
    const { digest } = await get({ headers: { authorization: 'Bearer x' } })
    assert.equal(digest, digestOf('there'))
    assert.deepEqual(
      requests.map(({ url, authorization }) => [url, authorization]),
      [
        ['/f', 'Bearer x'],
        ['/g', 'Bearer x'],
        ['/h', undefined],
      ],
    )
  })

  it('gives up on errors, loops, other protocols, and on more bytes than allowed', async () => {
    handle = (_request, response) => response.writeHead(404).end()
    await fails('download-failed', /invalid response status 404/, get())
    handle = (_request, response) => response.writeHead(302, { location: '/f' }).end()
    await fails('download-failed', /redirects/, get())
    handle = (_request, response) =>
      response.writeHead(302, { location: 'file:///etc/passwd' }).end()
    await fails('download-failed', /not an http/, get())
    handle = (_request, response) => response.end('x'.repeat(2000))
    await fails('download-failed', /larger than 1000 bytes/, get())
  })

  it('gives up when the connection ends before the file', async () => {
    handle = (_request, response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('part')
      setImmediate(() => response.destroy())
    }
    await fails('download-failed', /could not download/, get())
  })

  it('shows no passwords and queries', () => {
    assert.equal(redactUrl('https://u:p@h/f?token=1'), 'https://xxxxx@h/f?...')
  })
})
