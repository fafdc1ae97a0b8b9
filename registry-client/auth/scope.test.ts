import assert from 'node:assert/strict'
import { formatScopes, parseScopes, repositoryScope } from './scope.ts'

describe('formatScopes', () => {
  it('merges the actions of one resource and sorts everything', () => {
    const scopes = [
      repositoryScope('b', 'push', 'pull'),
      repositoryScope('a', 'pull'),
      repositoryScope('b', 'pull'),
    ]
    assert.deepEqual(formatScopes(scopes), ['repository:a:pull', 'repository:b:pull,push'])
  })
})

describe('parseScopes', () => {
  it('splits at the last colon, because names may have a port', () => {
    assert.deepEqual(parseScopes('repository:host:5000/a:pull,push registry:catalog:*'), [
      { resource: 'repository:host:5000/a', actions: ['pull', 'push'] },
      { resource: 'registry:catalog', actions: ['*'] },
    ])
  })

  it('gives nothing for what is no scope', () => {
    assert.deepEqual(parseScopes(undefined), [])
    assert.deepEqual(parseScopes('  nonsense :x'), [])
  })
})
