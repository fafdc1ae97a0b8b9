import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { type HttpServer, serveHttp } from './http-server.ts'

/** The bare repositories below a directory, served by git itself to whoever logs in. */
export async function serveGit(root: string, login: string): Promise<HttpServer> {
  const wanted = `Basic ${Buffer.from(login).toString('base64')}`
  return await serveHttp((request, response) => {
    if (request.headers.authorization !== wanted) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end()
      return
    }
    const { pathname, search } = new URL(request.url ?? '', 'http://server')
    const cgi = spawn('git', ['http-backend'], {
      env: {
        ...{ PATH: process.env['PATH'], GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: '1' },
        ...{ PATH_INFO: pathname, QUERY_STRING: search.slice(1), REMOTE_USER: 'user' },
        ...{ REQUEST_METHOD: request.method, ...fromHeaders(request.headers) },
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    request.pipe(cgi.stdin)
    void buffer(cgi.stdout).then((bytes) => answer(bytes, response))
  })
}

/** The files below a directory as any web server has them: what git calls a dumb server. */
export async function serveFiles(root: string): Promise<HttpServer> {
  return await serveHttp((request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://server')
    readFile(join(root, pathname)).then(
      (bytes) => response.end(bytes),
      () => response.writeHead(404).end(),
    )
  })
}

function fromHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  return {
    CONTENT_TYPE: headers['content-type'] ?? '',
    HTTP_CONTENT_ENCODING: headers['content-encoding'] ?? '',
    HTTP_GIT_PROTOCOL: String(headers['git-protocol'] ?? ''),
  }
}

/** RFC 3875: headers, an empty line, the body. */
function answer(bytes: Buffer, response: ServerResponse): void {
  const end = bytes.indexOf('\r\n\r\n')
  let status = 200
  for (const line of bytes.toString('latin1', 0, end).split('\r\n')) {
    const [name = '', value = ''] = line.split(/: (.*)/)
    if (name === 'Status') status = Number.parseInt(value, 10)
    else response.setHeader(name, value)
  }
  response.writeHead(status).end(bytes.subarray(end + 4))
}
