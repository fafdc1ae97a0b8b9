import assert from 'node:assert/strict'
import { renderWarnings } from './warnings.ts'

const WARNING = {
  text: 'FromAsCasing: as (line 1)',
  rule: {
    description: 'Write it as FROM is written',
    url: 'https://rules/from',
    range: { startLine: 1, endLine: 1 },
    excerpt: 'Dockerfile:1\n--\n   1 | >>> FROM a as b\n--',
    source: { name: 'Dockerfile', text: 'FROM a as b\n' },
  },
}

describe('the warnings of a build', () => {
  it('are one line each', () => {
    assert.equal(
      renderWarnings([WARNING], false),
      '\n 1 warning found (use --debug to expand):\n - FromAsCasing: as (line 1)\n',
    )
    assert.equal(renderWarnings([], false), '')
  })

  it('say all that is known of the rule and the place with --debug', () => {
    assert.equal(
      renderWarnings([WARNING, { text: 'other' }], true),
      [
        '\n 2 warnings found:',
        ' - FromAsCasing: as (line 1)',
        'Write it as FROM is written',
        'More info: https://rules/from',
        'Dockerfile:1\n--\n   1 | >>> FROM a as b\n--\n',
        ' - other\n',
      ].join('\n'),
    )
  })
})
