import type { Flag, Instruction } from 'dockerfile-ast'
import type { Range } from './diagnostics.ts'
import type { EscapeToken } from './words.ts'

/**
 * The only importer of dockerfile-ast. Instructions are read by our own scanner, because what a build does must follow
 * BuildKit's rules to the letter; the syntax tree serves where it is better: it knows the exact place of every keyword, flag,
 * argument and variable, also across continued lines. It is loaded when a place is asked for (a tenth of a cached build's
 * time), that is, when something is wrong.
 */

/** Larger instructions get no exact place. */
const TEXT_LENGTH_MAX = 20_000

interface Place {
  readonly start: { readonly line: number; readonly character: number }
  readonly end: { readonly line: number; readonly character: number }
}

/** A piece of an instruction's text with its place. */
interface Part {
  readonly text: string
  readonly place: Place
}

/**
 * The place of `focus` in the instruction at `range`: the variable, flag, argument or keyword that is `focus`, else the
 * first one that holds it. Undefined when the tree has none.
 */
export async function locate(
  source: string,
  range: Range,
  focus: string,
  token: EscapeToken,
): Promise<Range | undefined> {
  const text = source
    .split('\n')
    .slice(range.startLine - 1, range.endLine)
    .join('\n')
  if (text.length > TEXT_LENGTH_MAX || focus === '') return undefined
  const part = await findPart(text, focus, token)
  if (part === undefined) return undefined
  const offset = range.startLine - 1
  return {
    startLine: part.start.line + offset,
    startColumn: part.start.character,
    endLine: part.end.line + offset,
    endColumn: part.end.character,
  }
}

async function findPart(
  text: string,
  focus: string,
  token: EscapeToken,
): Promise<Place | undefined> {
  const parts = await readParts(text, token)
  const exact = parts.find((part) => part.text === focus)
  const holder = exact ?? parts.find((part) => isOneLine(part) && part.text.includes(focus))
  if (holder === undefined) return undefined
  return exact === undefined ? narrow(holder, focus) : exact.place
}

/** The parts of the only instruction of `text`; none when the library cannot read it. */
async function readParts(text: string, token: EscapeToken): Promise<readonly Part[]> {
  // The default is what a bundle and Node agree on for a CommonJS package.
  const { default: ast } = await import('dockerfile-ast')
  const { DockerfileParser, ModifiableInstruction } = ast
  try {
    // The directive takes the line before the instruction.
    const [instruction] = DockerfileParser.parse(`# escape=${token}\n${text}`).getInstructions()
    if (instruction === undefined) return []
    const flags = instruction instanceof ModifiableInstruction ? instruction.getFlags() : []
    return partsOf(instruction, flags)
  } catch (error) {
    // Some broken text makes the library recurse for ever or trip over what is missing: the whole line is marked then.
    if (error instanceof RangeError || error instanceof TypeError) return []
    throw error
  }
}

/** Small parts first: a variable is a better place than the argument around it. */
function partsOf(instruction: Instruction, flags: readonly Flag[]): Part[] {
  const named = (part: { toString(): string; getRange(): Place }): Part => ({
    text: part.toString(),
    place: part.getRange(),
  })
  return [
    ...instruction.getVariables().map(named),
    ...flags.map((flag) => ({
      text: `--${flag.getName()}`,
      place: { start: flag.getRange().start, end: flag.getNameRange().end },
    })),
    ...flags.flatMap((flag) => [...valuePart(flag.getValue(), flag.getValueRange()), named(flag)]),
    { text: instruction.getInstruction(), place: instruction.getInstructionRange() },
    ...instruction.getArguments().map(named),
  ]
}

function valuePart(text: string | null, place: Place | null): Part[] {
  return text === null || place === null ? [] : [{ text, place }]
}

function isOneLine({ text, place }: Part): boolean {
  // Where escapes were removed, columns inside the part would be off.
  const length = place.end.character - place.start.character
  return place.start.line === place.end.line && length === text.length
}

function narrow({ text, place }: Part, focus: string): Place {
  const { line, character } = place.start
  const start = character + text.indexOf(focus)
  return { start: { line, character: start }, end: { line, character: start + focus.length } }
}
