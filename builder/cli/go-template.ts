import { UsageError } from './errors.ts'

/**
 * `--format` for the templates that scripts use: text with `{{.Path.To.Field}}`, `{{json .Path}}`, `{{.}}` and
 * `{{json .}}`. Fields are found whatever their case. Other constructs of Go's text/template are refused, never printed
 * as text. Throws `UsageError`.
 */
export function renderTemplate(template: string, value: unknown): string {
  return template
    .replaceAll('\\n', '\n')
    .replaceAll('\\t', '\t')
    .replace(/\{\{(.*?)\}\}/gs, (_, inside: string) => renderAction(inside.trim(), value))
}

function renderAction(action: string, value: unknown): string {
  const match = /^(json\s+)?(\.(?:[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)?)$/.exec(action)
  const indexed = /^(json\s+)?\(?index\s+(\.[\w.]*)\s+"([^"]*)"\)?$/.exec(action)
  if (indexed !== null) {
    const map = fieldAt(value, indexed[2] ?? '.')
    return print(ownField(map, indexed[3] ?? ''), indexed[1] !== undefined)
  }
  if (match === null) {
    throw new UsageError(
      `unsupported template action {{${action}}}: {{.Path}}, {{json .Path}} and {{index .Path "key"}} are known`,
    )
  }
  return print(fieldAt(value, match[2] ?? '.'), match[1] !== undefined)
}

function fieldAt(value: unknown, path: string): unknown {
  let field = value
  for (const name of path.split('.').filter((part) => part !== '')) {
    field = ownField(field, name)
  }
  return field
}

function ownField(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) {
    return undefined
  }
  const key =
    Object.keys(value).find((own) => own === name) ??
    Object.keys(value).find((own) => own.toLowerCase() === name.toLowerCase())
  const entry = key === undefined ? undefined : Object.entries(value).find(([own]) => own === key)
  return entry?.[1]
}

function print(value: unknown, isJson: boolean): string {
  if (isJson) {
    return JSON.stringify(value ?? null)
  }
  if (Array.isArray(value)) {
    return `[${value.map((item) => print(item, false)).join(' ')}]`
  }
  if (typeof value === 'object' && value !== null) {
    return `map[${Object.entries(value)
      .map(([key, item]) => `${key}:${print(item, false)}`)
      .join(' ')}]`
  }
  return value === undefined ? '<no value>' : String(value)
}
