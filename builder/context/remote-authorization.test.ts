import assert from 'node:assert/strict'
import { gitAuthorization, httpAuthorization, type SecretReader } from './remote-authorization.ts'

function secrets(values: Readonly<Record<string, string>>): SecretReader {
  return async (id) => {
    const value = values[id]
    return value === undefined ? undefined : new TextEncoder().encode(value)
  }
}

describe('gitAuthorization', () => {
  it('prefers what is for the host, and a whole header to a token', async () => {
    const all = {
      'GIT_AUTH_HEADER.h:8': 'one',
      'GIT_AUTH_TOKEN.h:8': 'two\n',
      GIT_AUTH_HEADER: 'three',
      GIT_AUTH_TOKEN: 'four',
    }
    const names = Object.keys(all) as (keyof typeof all)[]
    const seen: (string | undefined)[] = []
    for (let start = 0; start <= names.length; start += 1) {
      const left = Object.fromEntries(names.slice(start).map((name) => [name, all[name]]))
      seen.push(await gitAuthorization('https://h:8/r.git', secrets(left)))
    }
    const basic = (token: string): string =>
      `basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`
    assert.deepEqual(seen, ['one', basic('two'), 'three', basic('four'), undefined])
  })

  it('sends nothing over ssh', async () => {
    assert.equal(await gitAuthorization('git@h:r.git', secrets({ GIT_AUTH_TOKEN: 'x' })), undefined)
  })
})

describe('httpAuthorization', () => {
  it('uses secrets of the host only', async () => {
    const read = secrets({ HTTP_AUTH_TOKEN_h: 't', HTTP_AUTH_HEADER_i: 'x' })
    assert.equal(await httpAuthorization('https://h:8/f', read), 'Bearer t')
    assert.equal(await httpAuthorization('http://i/f', read), 'x')
    assert.equal(await httpAuthorization('http://j/f', read), undefined)
  })
})
