import assert from 'node:assert/strict'
import { contextTitle } from './context-title.ts'

describe('contextTitle', () => {
  it('says what is loaded from where, without a login', () => {
    const url = 'https://u:token@h/a.git?key=k#main:sub'
    const titles = [
      contextTitle('context', { kind: 'directory', path: '/c' }),
      contextTitle('context', { kind: 'archive', path: '/a', origin: 'stdin' }),
      contextTitle('context', { kind: 'http', url }),
      contextTitle('context', { kind: 'git', url }),
      contextTitle('dep', { kind: 'directory', path: '/c' }),
      contextTitle('dep', { kind: 'http', url }),
      contextTitle('dep', { kind: 'git', url }),
    ]
    assert.deepEqual(titles, [
      undefined,
      '[internal] load remote build context',
      '[internal] load remote build context',
      '[internal] load git source https://xxxxx@h/a.git?...#main:sub',
      undefined,
      '[context dep] https://xxxxx@h/a.git?...#main:sub',
      '[internal] load git source https://xxxxx@h/a.git?...#main:sub',
    ])
  })
})
