import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'

export interface HttpServer extends AsyncDisposable {
  /** With its port. */
  readonly host: string
}

/** A web server on loopback; disposing cuts what is still open. */
export async function serveHttp(answer: RequestListener): Promise<HttpServer> {
  const server = createServer(answer)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return {
    host: `127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
