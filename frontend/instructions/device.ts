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
  if (fields === undefined || text === '') throw fail('failed to parse csv devices')
  return fields.reduce((device, field) => withField(device, field, fail), NO_DEVICE)
}

const NO_DEVICE: DeviceRequest = { name: '', required: false }

function withField(
  device: DeviceRequest,
  field: string,
  fail: (message: string, suggestion?: string) => Error,
): DeviceRequest {
  const at = field.indexOf('=')
  const key = (at < 0 ? field : field.slice(0, at)).toLowerCase()
  const value = at < 0 ? undefined : field.slice(at + 1)
  if (key === 'required') {
    const required = parseGoBool(value ?? 'true')
    if (required === undefined) throw fail(`invalid value for required: ${value}`)
    return { ...device, required }
  }
  const isNamed = device.name !== ''
  if (key === 'name' && value !== undefined) {
    if (isNamed) throw fail(`device name already set to ${device.name}`)
    return { ...device, name: value }
  }
  if (!isNamed) return { ...device, name: field }
  if (value === undefined) throw fail(`invalid field '${field}' must be a key=value pair`)
  throw fail(`unexpected key '${key}' in '${field}'`, suggest(key, ['name', 'required']))
}
