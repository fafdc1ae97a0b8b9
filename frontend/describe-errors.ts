import type { Range } from './diagnostics.ts'
import type { DockerfileError, DockerfileErrors } from './errors.ts'
import { renderLocation } from './excerpt.ts'
import { scanLines } from './lines.ts'
import { locate } from './parse.ts'

/** A file with more errors is no Dockerfile; nobody reads on. */
const SHOWN_MAX = 20

/**
 * The errors of a file as the CLI prints them: lines with a caret below the piece at fault, second places, then the message.
 * Loads the syntax tree library to find the piece.
 */
export async function describeErrors(errors: DockerfileErrors): Promise<string> {
  const blocks: string[] = []
  for (const error of errors.list.slice(0, SHOWN_MAX)) {
    blocks.push(await describeError(error, errors))
  }
  const rest = errors.list.length - blocks.length
  if (rest > 0) blocks.push(`... and ${rest} more errors in ${errors.fileName}`)
  return blocks.join('\n\n')
}

async function describeError(error: DockerfileError, file: DockerfileErrors): Promise<string> {
  const { fileName, source } = file
  const out: string[] = []
  if (error.range !== undefined) {
    const whole = { ...error.range, startColumn: 0 }
    out.push(renderLocation(fileName, source, whole, (await placeOf(error, source)) ?? whole))
  }
  if (error.related !== undefined) {
    const { label, range } = error.related
    out.push(`${label}: ${renderLocation(fileName, source, { ...range, startColumn: 0 })}`)
  }
  out.push(error.message)
  return out.join('\n')
}

async function placeOf(error: DockerfileError, source: string): Promise<Range | undefined> {
  const { range, focus } = error
  if (range === undefined || focus === undefined) return undefined
  return locate(source, range, focus, scanLines(source).escape)
}
