import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { ManualClock } from '../testing/manual-clock.ts'
import { responseError } from './response-error.ts'

async function messageOf(status: number, url: string, body = ''): Promise<string> {
  const response = {
    status,
    url: new URL(url),
    body: Readable.from([Buffer.from(body)]),
    header: () => undefined,
  }
  return (await responseError(response, { clock: new ManualClock(), secrets: ['hunter2'] })).message
}

describe('responseError', () => {
  it("says what raises Docker Hub's limit, and of no other", async () => {
    const hub = await messageOf(429, 'https://registry-1.docker.io/v2/x')
    assert.match(hub, /429 \(too many requests\); a login raises the limit$/)
    assert.doesNotMatch(await messageOf(429, 'https://docker.io.example/v2/x'), /login/)
  })

  it('reads what it can of any body, and shows no secret', async () => {
    const of = (body: string): Promise<string> => messageOf(500, 'https://r.example/', body)
    const bodies: readonly (readonly [body: string, message: RegExp])[] = [
      ['{"errors":[]}', /500 \(internal error\)$/],
      ['{"errors":[null]}', /500 \(internal error\)$/],
      ['{"errors":[{"code":7,"message":["x"]}]}', /500 \(internal error\)$/],
      ['{"errors":"all of them"}', /500 \(internal error\)$/],
      ['{"error":"invalid_grant","error_description":"expired"}', /: invalid_grant: expired$/],
      ['{"message":"hunter2 is wrong"}', /: \*\*\* is wrong$/],
      ['[1', /: \[1$/],
      ['\u0000\u0007', /500 \(internal error\)/],
      ['<HTML><TITLE>\n Oops \n</TITLE>', /: an HTML page, "Oops"$/],
      ['<html>', /: an HTML page$/],
    ]
    for (const [body, message] of bodies) assert.match(await of(body), message, body)
    assert.ok((await of('x'.repeat(1e6))).length < 600)
  })
})
