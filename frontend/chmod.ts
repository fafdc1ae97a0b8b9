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
/** Taking X away takes x away. */
const PERMISSIONS: ReadonlyMap<string, number> = new Map([
  ['r', 0o444],
  ['w', 0o222],
  ['x', EXECUTE],
  ['X', EXECUTE],
])

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
      clauses.push(...new ActionReader(match[1] ?? '', action.charAt(0)).read(action.slice(1)))
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

/** Bits that `who` names; 0 for none, which means everyone. */
function bitsOfClasses(who: string): number {
  if (who.includes('a')) return ALL
  return Array.from(who).reduce((bits, name) => bits | (CLASSES.get(name)?.bits ?? 0), 0)
}

/**
 * Steps of one `<op><permissions>`, read from left to right as setmode(3) does, whose Go form BuildKit uses: a copied
 * class ends what was collected before it, and a `t` without any class leaves the other letters without effect.
 */
class ActionReader {
  readonly #op: '+' | '-' | '='
  readonly #steps: ChmodClause[] = []
  #who: number
  #bits = 0
  #conditional = 0
  #isCleared = false

  constructor(who: string, op: string) {
    this.#op = op === '-' || op === '=' ? op : '+'
    this.#who = bitsOfClasses(who)
  }

  read(letters: string): readonly ChmodClause[] {
    for (const letter of letters) this.#readLetter(letter)
    if (this.#bits !== 0 || (this.#op === '=' && !this.#isCleared)) this.#change()
    this.#changeConditionally()
    return this.#steps
  }

  #readLetter(letter: string): void {
    const source = CLASSES.get(letter)
    // Set-id and sticky say nothing about "other".
    const isOtherOnly = this.#who !== 0 && (this.#who & ~OTHER.bits) === 0
    if (source !== undefined) this.#copy(source.shift)
    else if (letter === 'X' && this.#op !== '-') this.#conditional = EXECUTE
    else if (letter === 's') this.#bits |= isOtherOnly ? 0 : 0o6000
    else if (letter !== 't') this.#bits |= PERMISSIONS.get(letter) ?? 0
    else if (!isOtherOnly) {
      this.#who |= STICKY
      this.#bits |= STICKY
    }
  }

  #change(): void {
    if (this.#op === '=') this.#steps.push({ step: 'clear', bits: this.#who || ALL })
    const bits = this.#masked(this.#bits)
    if (bits !== 0) this.#steps.push({ step: this.#op === '-' ? 'clear' : 'set', bits })
    this.#bits = 0
  }

  #changeConditionally(): void {
    const bits = this.#masked(this.#conditional)
    if (bits !== 0) this.#steps.push({ step: 'set-if-executable', bits })
    this.#conditional = 0
  }

  #copy(fromShift: number): void {
    if (this.#bits !== 0) this.#change()
    this.#isCleared = true
    this.#changeConditionally()
    const classes = [USER, GROUP, OTHER].filter(
      ({ shift }) => this.#who === 0 || (this.#who & (4 << shift)) !== 0,
    )
    const toShifts = classes.map(({ shift }) => shift)
    this.#steps.push({ step: 'copy', fromShift, toShifts, op: this.#op })
  }

  #masked(bits: number): number {
    return this.#who === 0 ? bits : bits & this.#who
  }
}
