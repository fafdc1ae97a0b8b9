/**
 * A regular expression that is a plain sequence. `source` is a JavaScript expression for one character, or an
 * assertion; `any-depth` is `(.*\/)?`.
 */
export type RegexpPiece =
  | { readonly kind: 'one' | 'repeat' | 'assertion'; readonly source: string }
  | { readonly kind: 'any-depth' }

/** A place in the sequence: what leads on from it. */
type State =
  | { readonly kind: 'one' | 'repeat'; readonly accepts: (code: number) => boolean }
  | { readonly kind: 'assertion'; readonly holds: (around: Around) => boolean }
  /** The two states after this one can be left out. */
  | { readonly kind: 'optional' }

/** What lies on both sides of a position in the path. */
interface Around {
  readonly isStart: boolean
  readonly isEnd: boolean
  readonly isWordBefore: boolean
  readonly isWordAfter: boolean
}

/** All states that a path may be in after some characters, with what the next character makes of them. */
interface StateSet {
  readonly indexes: readonly number[]
  readonly isStart: boolean
  readonly isWordBefore: boolean
  /** By ASCII code, as far as they were needed. */
  readonly next: (StateSet | undefined)[]
  isMatch: boolean | undefined
}

/** An expression that needs more has its sets worked out again and again, which is slow but ends. */
const SETS_MAX = 1000

/**
 * A matcher that follows all ways through the pieces at the same time and remembers where it came (a deterministic
 * automaton made as it is needed): a path never costs more than its length times the number of pieces. Throws SyntaxError
 * for sources that JavaScript refuses.
 */
export function compilePieces(pieces: readonly RegexpPiece[]): (path: string) => boolean {
  const automaton = new Automaton(pieces.flatMap(statesOf))
  return (path) => automaton.matches(path)
}

class Automaton {
  readonly #states: readonly State[]
  readonly #sets = new Map<string, StateSet>()
  #start: StateSet

  constructor(states: readonly State[]) {
    this.#states = states
    this.#start = stateSet([0], true, false)
  }

  matches(path: string): boolean {
    let current = this.#start
    for (let at = 0; at < path.length; at += 1) {
      const code = path.codePointAt(at) ?? 0
      at += code > 0xffff ? 1 : 0
      current = current.next[code] ?? this.#step(current, code)
      if (current.indexes.length === 0) {
        return false
      }
    }
    current.isMatch ??=
      this.#reach(current, { isEnd: true, isWordAfter: false }).at(-1) === this.#states.length
    return current.isMatch
  }

  #step(current: StateSet, code: number): StateSet {
    const isWord = isWordCode(code)
    const reached = this.#reach(current, { isEnd: false, isWordAfter: isWord })
    const indexes = this.#advance(reached, code)
    const key = `${isWord} ${indexes.join(' ')}`
    const next = this.#sets.get(key) ?? stateSet(indexes, false, isWord)
    if (this.#sets.size >= SETS_MAX) {
      this.#sets.clear()
      this.#start = stateSet([0], true, false)
    }
    this.#sets.set(key, next)
    if (code < 128) {
      current.next[code] = next
    }
    return next
  }

  /** States after `code` was read, ascending. */
  #advance(reached: readonly number[], code: number): number[] {
    const indexes: number[] = []
    for (const index of reached) {
      const state = this.#states[index]
      if ((state?.kind === 'one' || state?.kind === 'repeat') && state.accepts(code)) {
        const target = state.kind === 'one' ? index + 1 : index
        if (indexes.at(-1) !== target) {
          indexes.push(target)
        }
      }
    }
    return indexes
  }

  /** The set with all states that need no character, ascending. Ways lead forward only: one pass will do. */
  #reach(
    { indexes, isStart, isWordBefore }: StateSet,
    after: Pick<Around, 'isEnd' | 'isWordAfter'>,
  ): number[] {
    const reached: number[] = []
    const pending = new Set(indexes)
    for (let index = indexes[0] ?? 0; pending.size > 0; index += 1) {
      if (!pending.delete(index)) {
        continue
      }
      reached.push(index)
      const state = this.#states[index]
      if (state?.kind === 'optional') {
        pending.add(index + 1).add(index + 3)
      } else if (
        state?.kind === 'repeat' ||
        (state?.kind === 'assertion' && state.holds({ isStart, isWordBefore, ...after }))
      ) {
        pending.add(index + 1)
      }
    }
    return reached
  }
}

function stateSet(indexes: readonly number[], isStart: boolean, isWordBefore: boolean): StateSet {
  const next: (StateSet | undefined)[] = Array.from({ length: 128 })
  return { indexes, isStart, isWordBefore, next, isMatch: undefined }
}

function statesOf(piece: RegexpPiece): State[] {
  switch (piece.kind) {
    case 'one':
    case 'repeat': {
      const regexp = new RegExp(`^${piece.source}$`, 'u')
      return [{ kind: piece.kind, accepts: (code) => regexp.test(String.fromCodePoint(code)) }]
    }
    case 'assertion':
      return [{ kind: 'assertion', holds: assertion(piece.source) }]
    case 'any-depth':
      return [
        { kind: 'optional' },
        { kind: 'repeat', accepts: (code) => code !== 10 },
        { kind: 'one', accepts: (code) => code === 47 },
      ]
  }
}

function assertion(source: string): (around: Around) => boolean {
  if (source === '^') {
    return ({ isStart }) => isStart
  }
  if (source === '$') {
    return ({ isEnd }) => isEnd
  }
  const wanted = source === '\\b'
  return ({ isWordBefore, isWordAfter }) => (isWordBefore !== isWordAfter) === wanted
}

function isWordCode(code: number): boolean {
  return /\w/.test(String.fromCodePoint(code))
}
