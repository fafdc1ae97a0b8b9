import assert from 'node:assert/strict'
import { renderTemplate } from './go-template.ts'
import { formatAge, renderRows, renderTable } from './table.ts'

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
    assert.throws(() => renderTemplate('{{with .Config}}x{{end}}', IMAGE), { name: 'UsageError' })
  })

  it('renders what scripts ask of docker inspect', () => {
    const image = {
      RepoDigests: ['a@sha256:1', 'b@sha256:2'],
      Config: { Env: ['A=1', 'B=2'], Labels: { 'x.y': 'z' } },
    }
    const cases: [string, string][] = [
      ['{{index .RepoDigests 0}}', 'a@sha256:1'],
      ['{{(index .RepoDigests 1)}}', 'b@sha256:2'],
      ['{{range .Config.Env}}{{.}};{{end}}', 'A=1;B=2;'],
      ['{{range .Config.Env}}{{println .}}{{end}}', 'A=1\nB=2\n'],
      ['{{join .RepoDigests ", "}}', 'a@sha256:1, b@sha256:2'],
      ['{{len .RepoDigests}} {{.Config.Labels | json}}', '2 {"x.y":"z"}'],
      ['{{json (index .Config.Labels "x.y")}}', '"z"'],
      ['{{if .Config.User}}{{.Config.User}}{{else}}root{{end}}!', 'root!'],
      [
        '{{range .RepoDigests}}{{if .}}[{{upper .}}]{{end}}{{end}} end',
        '[A@SHA256:1][B@SHA256:2] end',
      ],
    ]
    for (const [template, text] of cases) {
      assert.equal(renderTemplate(template, image), text, template)
    }
    for (const broken of [
      '{{end}}',
      '{{range .X}}',
      '{{if}}',
      '{{.A | }}',
      '{{json}}',
      '{{(.A}}',
      'a {{.A',
      '{{.A .B}}',
    ]) {
      assert.throws(() => renderTemplate(broken, image), { name: 'UsageError' }, broken)
    }
  })

  it('finds no inherited properties', () => {
    assert.equal(renderTemplate('{{.constructor}}', IMAGE), '<no value>')
  })
})

describe('tables', () => {
  it('align the columns of a template below heads', () => {
    const rows = [{ Name: 'a', Size: '10MB' }]
    assert.equal(
      renderRows('table {{.Name}}\\t{{.Size}}', { Name: 'NAME', Size: 'SIZE' }, rows),
      'NAME   SIZE\na      10MB\n',
    )
    assert.equal(renderRows('{{.Name}}', {}, rows), 'a\n')
  })

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
