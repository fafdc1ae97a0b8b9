import assert from 'node:assert/strict'
import { ToldWarnings, vertexDigest } from './warning-json.ts'

describe('ToldWarnings', () => {
  it('has warnings as BuildKit writes them, each with the step that it is about', () => {
    const told = new ToldWarnings()
    told.handle({ type: 'step-started', atMs: 0, step: 1, title: 'load' })
    const range = { startLine: 2, endLine: 3 }
    const source = { name: 'Dockerfile', text: 'FROM a' }
    const rule = { description: 'd', url: 'https://u/', range, excerpt: '', source }
    told.handle({ type: 'warning', atMs: 0, text: 'w', step: 1, rule })
    told.handle({ type: 'warning', atMs: 0, text: 'x', step: undefined })
    assert.deepEqual(JSON.parse(JSON.stringify(told.list)), [
      {
        vertex: vertexDigest(1, 'load'),
        level: 1,
        short: 'dw==',
        detail: ['ZA=='],
        url: 'https://u/',
        sourceInfo: { filename: 'Dockerfile', data: 'RlJPTSBh', language: 'Dockerfile' },
        range: [{ start: { line: 2 }, end: { line: 3 } }],
      },
      { level: 1, short: 'eA==' },
    ])
  })
})
