import assert from 'node:assert/strict'
import { renderTemplate } from './go-template.ts'
import { formatAge, renderTable } from './table.ts'

const IMAGE = { Id: 'sha256:1', Config: { Cmd: ['sh', '-c'], Labels: { 'a.b': 'x' } } }

describe('renderTemplate', () => {
  it('prints fields, JSON and map entries', () => {
    assert.equal(renderTemplate('{{.Id}}', IMAGE), 'sha256:1')
    assert.equal(renderTemplate('{{json .Config.Cmd}}', IMAGE), '["sh","-c"]')
    assert.equal(renderTemplate('{{ .config.cmd }}', IMAGE), '[sh -c]')
    assert.equal(renderTemplate('{{index .Config.Labels "a.b"}}', IMAGE), 'x')
    assert.equal(renderTemplate('{{.Nope}}', IMAGE), '<no value>')
  })

  it('refuses what it cannot do instead of printing it', () => {
    assert.throws(() => renderTemplate('{{range .Config}}x{{end}}', IMAGE), { name: 'UsageError' })
  })

  it('finds no inherited properties', () => {
    assert.equal(renderTemplate('{{.constructor}}', IMAGE), '<no value>')
  })
})

describe('tables', () => {
  it('aligns columns by what they show', () => {
    assert.equal(
      renderTable([
        ['A', 'B'],
        ['漢字', 'x'],
      ]),
      'A      B\n漢字   x\n',
    )
  })

  it('tells ages as docker does', () => {
    const now = Date.parse('2026-01-10T00:00:00Z')
    assert.equal(formatAge('2026-01-09T22:30:00Z', now), '90 minutes ago')
    assert.equal(formatAge('2026-01-05T00:00:00Z', now), '5 days ago')
    assert.equal(formatAge('0001-01-01T00:00:00Z', now), 'N/A')
    assert.equal(formatAge(undefined, now), 'N/A')
  })
})
