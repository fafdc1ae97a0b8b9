import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestOf } from '../../registry-client/oci/index.ts'
import { CopyError, type CopyErrorCode } from './copy-errors.ts'
import { type Download, download, type DownloadRequest, redactUrl } from './http.ts'

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

  const get = (request: Partial<DownloadRequest> = {}, sizeBytesMax = 1000): Promise<Download> =>
    download(
      { url: `${base}/f`, checksum: undefined, ...request },
      {
        directory: join(directory, 'kept'),
        workDirectory: directory,
        sizeBytesMax,
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

  it('follows redirects and keeps headers to the host that they are for', async () => {
    const elsewhere = createServer((request, response) => {
      requests.push({
        url: request.url ?? '',
        etag: undefined,
        authorization: request.headers.authorization,
      })
      response.end('there')
    })
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve))
    const { port } = elsewhere.address() as AddressInfo
    handle = (request, response) => {
      const location = request.url === '/f' ? '/g' : `http://127.0.0.1:${port}/h`
      response.writeHead(302, { location }).end()
    }
    const { digest } = await get({ headers: { authorization: 'Bearer x' } })
    elsewhere.closeAllConnections()
    elsewhere.close()
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
