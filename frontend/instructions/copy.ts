import { chompHeredoc, heredocStartOf } from '../heredoc.ts'
import { readList } from './command-line.ts'
import type { CommandBase, Instruction } from './instruction.ts'
import { commandBase, flagsOf, instructionError } from './instruction.ts'

/** A file whose content stands in the Dockerfile. */
export interface InlineFile {
  readonly name: string
  readonly content: string
  readonly isExpanded: boolean
}

interface Transfer extends CommandBase {
  /** Paths and URLs, not yet expanded. */
  readonly sources: readonly string[]
  readonly inlineFiles: readonly InlineFile[]
  readonly dest: string
  readonly chown: string
  readonly chmod: string
  readonly link: boolean
  readonly exclude: readonly string[]
}

export interface CopyCommand extends Transfer {
  readonly kind: 'copy'
  /** Empty: the build context. */
  readonly from: string
  readonly parents: boolean
}

export interface AddCommand extends Transfer {
  readonly kind: 'add'
  readonly checksum: string
  /** Undefined when not given: local archives are unpacked, downloads are not. */
  readonly unpack: boolean | undefined
  readonly keepGitDir: boolean | undefined
}

const SHARED_FLAGS = { chown: 'text', chmod: 'text', link: 'boolean', exclude: 'list' } as const

/** COPY (features rows D94-D113). */
export function parseCopy(instruction: Instruction): CopyCommand {
  const words = sourcesAndDest(instruction)
  const flags = flagsOf(instruction, { ...SHARED_FLAGS, from: 'text', parents: 'boolean' })
  return {
    ...commandBase(instruction),
    ...readPlaces(instruction, words),
    kind: 'copy',
    chown: flags.text('chown') ?? '',
    chmod: flags.text('chmod') ?? '',
    link: flags.boolean('link'),
    exclude: flags.list('exclude'),
    from: flags.text('from') ?? '',
    parents: flags.boolean('parents'),
  }
}

/** ADD (features rows D114-D120). */
export function parseAdd(instruction: Instruction): AddCommand {
  const words = sourcesAndDest(instruction)
  const flags = flagsOf(instruction, {
    ...SHARED_FLAGS,
    checksum: 'text',
    unpack: 'boolean',
    'keep-git-dir': 'boolean',
  })
  const optional = (name: string) => (flags.isSet(name) ? flags.boolean(name) : undefined)
  return {
    ...commandBase(instruction),
    ...readPlaces(instruction, words),
    kind: 'add',
    chown: flags.text('chown') ?? '',
    chmod: flags.text('chmod') ?? '',
    link: flags.boolean('link'),
    exclude: flags.list('exclude'),
    checksum: flags.text('checksum') ?? '',
    unpack: optional('unpack'),
    keepGitDir: optional('keep-git-dir'),
  }
}

function sourcesAndDest(instruction: Instruction): readonly string[] {
  const words = readList(instruction, instruction.rest)
  if (words.length >= 2) return words
  throw instructionError(
    instruction,
    `${instruction.name.toUpperCase()} requires at least two arguments, but ` +
      `${words.length === 0 ? 'none' : 'only one'} was provided. Destination could not be determined`,
  )
}

function readPlaces(
  instruction: Instruction,
  words: readonly string[],
): Pick<Transfer, 'sources' | 'inlineFiles' | 'dest'> {
  const dest = words.at(-1) ?? ''
  if (heredocStartOf(dest) !== undefined) {
    const message = `${instruction.name.toUpperCase()} cannot accept a heredoc as a destination`
    throw instructionError(instruction, message, { focus: dest })
  }
  const bodies = new Map(instruction.heredocs.map((heredoc) => [heredoc.name, heredoc.content]))
  const sources: string[] = []
  const inlineFiles: InlineFile[] = []
  for (const word of words.slice(0, -1)) {
    const start = heredocStartOf(word)
    if (start === undefined) sources.push(word)
    else {
      const body = bodies.get(start.name) ?? ''
      const content = start.isChomped ? chompHeredoc(body) : body
      inlineFiles.push({ name: start.name, content, isExpanded: start.isExpanded })
    }
  }
  return { sources, inlineFiles, dest }
}
