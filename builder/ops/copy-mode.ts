import { CopyError } from './copy-errors.ts'

/** What --chmod does to the mode of a copied file or directory. */
export interface ModeChange {
  apply(mode: number, isDirectory: boolean): number
  /** Mode of the directories that the copy has to make: of an octal --chmod its permission bits (features row D105). */
  readonly createdDirectoryMode: number
}

const KEEP_MODE: ModeChange = { apply: (mode) => mode, createdDirectoryMode: 0o755 }

const SETUID_SETGID = 0o6000
const STICKY = 0o1000
const WHO_BITS: ReadonlyMap<string, number> = new Map([
  ['u', 0o4700],
  ['g', 0o2070],
  ['o', 0o0007],
  ['a', 0o6777],
])
const PERMISSION_BITS: ReadonlyMap<string, number> = new Map([
  ['r', 0o444],
  ['w', 0o222],
  ['x', 0o111],
])

/**
 * The change that `text` asks for: octal, or symbolic as in chmod(1) with a umask of 0 (features rows D105, D106).
 * Undefined changes nothing. `bad-mode` for anything else.
 */
export function parseModeChange(text: string | undefined): ModeChange {
  if (text === undefined) {
    return KEEP_MODE
  }
  if (/^[0-9]/.test(text)) {
    const mode = /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN
    if (!(mode <= 0o7777)) {
      throw badMode(text)
    }
    return { apply: () => mode, createdDirectoryMode: mode & 0o777 }
  }
  const clauses = text.split(',').map((clause) => parseClause(clause, text))
  return {
    apply: (mode, isDirectory) =>
      clauses.flat().reduce((current, action) => action(current, mode, isDirectory), mode),
    createdDirectoryMode: 0o755,
  }
}

/** Changes `current`; `original` is the mode before all clauses, which `X` looks at. */
type ModeAction = (current: number, original: number, isDirectory: boolean) => number

function parseClause(clause: string, text: string): ModeAction[] {
  const match = /^([ugoa]*)((?:[-+=][rwxXstugo]*)+)$/.exec(clause)
  if (match === null) {
    throw badMode(text)
  }
  const who = Array.from(match[1] ?? '').reduce((bits, name) => bits | (WHO_BITS.get(name) ?? 0), 0)
  const actions = (match[2] ?? '').match(/[-+=][rwxXstugo]*/g) ?? []
  return actions.map((action) => parseAction(who, action.charAt(0), action.slice(1)))
}

function parseAction(who: number, operator: string, permissions: string): ModeAction {
  // Set-id and sticky bits mean nothing for "other" alone.
  const canSetSpecial = who === 0 || (who & ~0o007) !== 0
  const whoBits = (who === 0 ? 0o6777 : who) | (permissions.includes('t') && canSetSpecial ? STICKY : 0)
  return (current, original, isDirectory) => {
    let value = 0
    for (const name of permissions) {
      value |= PERMISSION_BITS.get(name) ?? 0
      value |= name === 's' && canSetSpecial ? SETUID_SETGID : 0
      value |= name === 't' && canSetSpecial ? STICKY : 0
      if (name === 'X' && (operator === '-' || isDirectory || (original & 0o111) !== 0)) {
        value |= 0o111
      }
      value |= 'ugo'.includes(name) ? copiedBits(current, name) : 0
    }
    const bits = value & whoBits
    if (operator === '+') {
      return current | bits
    }
    return operator === '-' ? current & ~bits : (current & ~whoBits) | bits
  }
}

/** The permissions of user, group or others, for all three. */
function copiedBits(mode: number, name: string): number {
  const shift = name === 'u' ? 6 : name === 'g' ? 3 : 0
  const bits = (mode >> shift) & 7
  return (bits << 6) | (bits << 3) | bits
}

function badMode(text: string): CopyError {
  return new CopyError(
    'bad-mode',
    `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`,
  )
}
