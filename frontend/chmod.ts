/** What `--chmod` says (features rows D105, D106). */
export type Chmod =
  | { readonly kind: 'octal'; readonly mode: number }
  | { readonly kind: 'symbolic'; readonly clauses: readonly ChmodClause[] }

/** One step of a symbolic mode. Steps are applied in order. */
export type ChmodClause =
  /** Sets, or clears, these bits. */
  | { readonly step: 'set' | 'clear'; readonly bits: number }
  /** `X`: sets execute bits of directories, and of files that had any before all steps. */
  | { readonly step: 'set-if-executable'; readonly bits: number }
  | CopyClause

/** Copies the permissions of one class (`g=u`): shift of the class, shifts of those that get them. */
export interface CopyClause {
  readonly step: 'copy'
  readonly fromShift: number
  readonly toShifts: readonly number[]
  readonly op: '+' | '-' | '='
}

const USER = { bits: 0o4700, shift: 6 }
const GROUP = { bits: 0o2070, shift: 3 }
const OTHER = { bits: 0o0007, shift: 0 }
const CLASSES: ReadonlyMap<string, { readonly bits: number; readonly shift: number }> = new Map([
  ['u', USER],
  ['g', GROUP],
  ['o', OTHER],
])
const ALL = 0o6777
const STICKY = 0o1000
const MODE_MAX = 0o7777
const EXECUTE = 0o111

/** Reads an octal or symbolic mode with umask 0; undefined when it is neither. */
export function parseChmod(text: string): Chmod | undefined {
  if (/^[0-9]/.test(text)) {
    const mode = /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN
    return mode <= MODE_MAX ? { kind: 'octal', mode } : undefined
  }
  const clauses: ChmodClause[] = []
  for (const clause of text.split(',')) {
    const match = /^([augo]*)((?:[-+=][rwxXstugo]*)+)$/.exec(clause)
    if (match === null) return undefined
    for (const action of (match[2] ?? '').match(/[-+=][^-+=]*/g) ?? []) {
      clauses.push(...readAction(match[1] ?? '', action))
    }
  }
  return { kind: 'symbolic', clauses }
}

/** The mode bits (07777) that a file or directory with `mode` gets. */
export function applyChmod(chmod: Chmod, mode: number, isDirectory: boolean): number {
  if (chmod.kind === 'octal') return chmod.mode
  const isExecutable = isDirectory || (mode & EXECUTE) !== 0
  let result = mode & MODE_MAX
  for (const clause of chmod.clauses) {
    if (clause.step === 'set') result |= clause.bits
    else if (clause.step === 'clear') result &= ~clause.bits
    else if (clause.step === 'copy') result = copyClass(result, clause)
    else if (isExecutable) result |= clause.bits
  }
  return result
}

function copyClass(mode: number, clause: CopyClause): number {
  const permissions = (mode >> clause.fromShift) & 7
  let result = mode
  for (const shift of clause.toShifts) {
    if (clause.op !== '+') result &= ~((clause.op === '=' ? 7 : permissions) << shift)
    if (clause.op !== '-') result |= permissions << shift
  }
  return result
}

/** Steps of `<who><op><permissions>`; no `who` means everyone. */
function readAction(who: string, action: string): ChmodClause[] {
  const op = action[0] === '-' ? '-' : action[0] === '=' ? '=' : '+'
  const names = who === '' || who.includes('a') ? 'ugo' : who
  const classes = Array.from(names, (name) => CLASSES.get(name) ?? OTHER)
  const mask = classes.reduce((bits, item) => bits | item.bits, 0)
  const letters = Array.from(action.slice(1))
  const copies = letters.flatMap((letter): ChmodClause[] => {
    const source = CLASSES.get(letter)
    if (source === undefined) return []
    const toShifts = classes.map((item) => item.shift)
    return [{ step: 'copy', fromShift: source.shift, toShifts, op }]
  })
  // Taking X away takes x away.
  const isConditional = (letter: string) => letter === 'X' && op !== '-'
  const bits = letters
    .filter((letter) => !isConditional(letter))
    .reduce((sum, letter) => sum | permissionBits(letter, mask), 0)
  const steps: ChmodClause[] = []
  if (op === '=' && copies.length === 0) {
    steps.push({ step: 'clear', bits: who === '' ? ALL : mask | (bits & STICKY) })
  }
  if (bits !== 0) steps.push({ step: op === '-' ? 'clear' : 'set', bits })
  if (letters.some(isConditional)) steps.push({ step: 'set-if-executable', bits: EXECUTE & mask })
  return [...steps, ...copies]
}

function permissionBits(letter: string, mask: number): number {
  const isOtherOnly = mask === OTHER.bits
  switch (letter) {
    case 'r':
      return 0o444 & mask
    case 'w':
      return 0o222 & mask
    case 'x':
    case 'X':
      return EXECUTE & mask
    // Set-id and sticky say nothing about "other".
    case 's':
      return isOtherOnly ? 0 : 0o6000 & mask
    case 't':
      return isOtherOnly ? 0 : STICKY
    default:
      return 0
  }
}
