import { parseGoBool } from '../go-format.ts'
import { suggest } from '../suggest.ts'
import { csvFields } from './csv.ts'
import type { Instruction } from './instruction.ts'
import { instructionError } from './instruction.ts'

/** A device asked for by its CDI name (features row D78). */
export interface DeviceRequest {
  readonly name: string
  readonly required: boolean
}

/** `vendor/class=name,required`. A part with `=` that is no known key is the name itself. */
export function parseDevice(instruction: Instruction, text: string): DeviceRequest {
  const fail = (message: string, suggestion?: string) =>
    instructionError(instruction, message, { code: 'bad-flag', focus: text, suggestion })
  const fields = csvFields(text)
  if (fields === undefined) throw fail('failed to parse csv devices')
  let name = ''
  let required = false
  for (const field of fields) {
    const at = field.indexOf('=')
    const key = (at < 0 ? field : field.slice(0, at)).toLowerCase()
    const value = at < 0 ? undefined : field.slice(at + 1)
    if (key === 'required') {
      const flag = value === undefined ? true : parseGoBool(value)
      if (flag === undefined) throw fail(`invalid value for required: ${value}`)
      required = flag
    } else if (key === 'name' && value !== undefined) {
      if (name !== '') throw fail(`device name already set to ${name}`)
      name = value
    } else if (name === '') name = field
    else if (value === undefined) throw fail(`invalid field '${field}' must be a key=value pair`)
    else throw fail(`unexpected key '${key}' in '${field}'`, suggest(key, ['name', 'required']))
  }
  return { name, required }
}
