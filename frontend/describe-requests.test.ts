import assert from 'node:assert/strict'
import { renderRequests, requestsJson } from './describe-requests.ts'

describe('requests about a Dockerfile', () => {
  it('are listed as BuildKit lists them', () => {
    assert.equal(
      renderRequests(),
      [
        'NAME                 VERSION DESCRIPTION',
        'outline              1.0.0   List all parameters current build target supports',
        'targets              1.0.0   List all targets current build supports',
        'subrequests.describe 1.0.0   List available subrequest types',
        '',
      ].join('\n'),
    )
    const json: unknown = JSON.parse(requestsJson())
    assert.ok(Array.isArray(json))
    assert.deepEqual(Object.keys(Object(json[0])), [
      ...['name', 'version', 'type', 'description', 'opts', 'inputs', 'metadata', 'refs'],
    ])
  })
})
