import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Environment, NO_VARIABLES } from './environment.ts'
import { ExpansionError } from './expansion-error.ts'
import type { WordOptions } from './words.ts'
import { expandWord } from './words.ts'

const SCOPE = new Environment([
  ['x', 'value'],
  ['empty', ''],
  ['path', '/a/b/c.tar.gz'],
  ['list', 'a b  c'],
])

const expand = (word: string, options: Partial<WordOptions> = {}): string =>
  expandWord(word, SCOPE, { escape: '\\', ...options }).text

const fault = (word: string): string => {
  try {
    expand(word)
  } catch (error) {
    if (error instanceof ExpansionError)
      return error.message.replace(/^failed to process .*?": /, '')
    throw error
  }
  throw new Error(`${word} expanded`)
}

describe('expandWord', () => {
  it('removes quotes and escapes as a shell does', () => {
    assert.equal(expand(`a\\ b'c "$x"'"d '$x'"\\$x`), `a bc "$x"d 'value'$x`)
    assert.equal(expand('"\\a \\" \\$ \\\\"'), '\\a " $ \\')
    assert.equal(expand('trailing\\'), 'trailing')
  })

  it('drops a byte order mark before a word, as BuildKit does', () => {
    assert.equal(expand('\ufeff$x\ufeff'), 'value\ufeff')
  })

  it('uses the escape character of the file', () => {
    assert.equal(expand('C:\\dir`$x', { escape: '`' }), 'C:\\dir$x')
  })

  it('reads names as shells do', () => {
    assert.equal(expand('$x-$x.$xy|${x}y|$1a|$@|$|$.'), 'value-value.|valuey|a||$|$.')
  })

  it('tells set, empty and unset apart', () => {
    assert.equal(expand('${x-d}|${empty-d}|${none-d}'), 'value||d')
    assert.equal(expand('${x:-d}|${empty:-d}|${none:-d}'), 'value|d|d')
    assert.equal(expand('${x+d}|${empty+d}|${none+d}'), 'd|d|')
    assert.equal(expand('${x:+d}|${empty:+d}|${none:+d}'), 'd||')
    assert.equal(expand('${x?m}${empty?m}'), 'value')
  })

  it('expands inside the words of modifiers', () => {
    assert.equal(expand('${none:-${x:+"a $x"}}'), 'a value')
  })

  it('stops with the message of ${name?message}', () => {
    assert.equal(fault('${none?give it}'), 'none: give it')
    assert.equal(fault('${none:?}'), 'none: is not allowed to be unset')
    assert.equal(fault('${empty:?}'), 'empty: is not allowed to be empty')
  })

  it('trims the shortest or longest match at either end', () => {
    assert.equal(expand('${path#*/}|${path##*/}'), 'a/b/c.tar.gz|c.tar.gz')
    assert.equal(expand('${path%.*}|${path%%.*}'), '/a/b/c.tar|/a/b/c')
    assert.equal(expand('${x#va?}|${x%[e]}|${none#a}'), 'ue|value|')
  })

  it('replaces the first or every match', () => {
    assert.equal(expand('${path/a/X}|${path//\\//-}'), '/X/b/c.tar.gz|-a-b-c.tar.gz')
    assert.equal(expand('${list// /_}|${x/l*/}'), 'a_b__c|va')
  })

  it('refuses malformed forms', () => {
    assert.equal(fault('${'), "syntax error: missing '}'")
    assert.equal(fault('${}'), 'syntax error: bad substitution')
    assert.equal(fault('${x:-a'), "syntax error: missing '}'")
    assert.equal(fault('${x/a'), "syntax error: missing '/' in ${}")
    assert.equal(fault('${x=a}'), 'unsupported modifier (=) in substitution')
    assert.equal(fault('${x:#a}'), 'unsupported modifier (:#) in substitution')
    assert.equal(fault('${x:0:3}'), 'unsupported modifier (:0) in substitution')
    assert.equal(fault('${none:0:3}'), 'unsupported modifier (:0) in substitution')
    assert.match(fault("it's"), /matching single-quote/)
    assert.match(fault('"it'), /matching double-quote/)
    assert.match(fault('${x#\\a}'), /invalid escape '\\a'/)
  })

  it('names the whole word in its errors', () => {
    assert.throws(() => expand('a"${x=}'), { message: /^failed to process "a\\"\$\{x=\}": / })
  })

  it('splits at blanks that do not come from quotes', () => {
    const { words } = expandWord(' $list "a b" c\\ d ', SCOPE, { escape: '\\' })
    assert.deepEqual(words, ['a', 'b', 'c', 'a b', 'c d'])
  })

  it('tells which variables were used and which were missing', () => {
    const { used, missing } = expandWord('$x ${none:-$other}', SCOPE, { escape: '\\' })
    assert.deepEqual([...used], ['x'])
    assert.deepEqual([...missing].sort(), ['none', 'other'])
  })

  it('keeps what it is told to keep', () => {
    assert.equal(expand(`"$x" '\\$'`, { keepsQuotes: true }), `"value" '\\$'`)
    assert.equal(
      expand('$none ${none} ${none:-a}', { keepsUnset: true }),
      '$none ${none} ${none:-a}',
    )
    assert.equal(expand(`it's "$x" \\$x \\n`, { ignoresQuotes: true }), `it's "value" $x n`)
  })

  it('refuses deep nesting instead of running out of stack', () => {
    assert.match(fault('${none:-'.repeat(50_000)), /nested too deeply/)
  })

  it('is linear for patterns that make backtracking matchers explode', () => {
    const long = new Environment([['v', 'a'.repeat(50_000)]])
    const started = process.cpuUsage()
    expandWord(`\${v//${'*a'.repeat(20)}b/x}`, long, { escape: '\\' })
    expandWord(`\${v##${'*a'.repeat(20)}b}`, long, { escape: '\\' })
    assert.ok(process.cpuUsage(started).user < 1_000_000)
  })

  it('gives back any text that was quoted for it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const quoted = `"${text.replace(/[\\"$]/g, '\\$&')}"`
        assert.equal(expandWord(quoted, NO_VARIABLES, { escape: '\\' }).text, text)
      }),
    )
  })

  it('throws nothing but ExpansionError', () => {
    const piece = fc.constantFrom(
      ...[
        '$',
        '{',
        '}',
        ':',
        '-',
        '+',
        '?',
        '#',
        '%',
        '/',
        '*',
        '\\',
        '"',
        "'",
        '<',
        ' ',
        'x',
        '😀',
      ],
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        try {
          expand(pieces.join(''))
        } catch (error) {
          assert.ok(error instanceof ExpansionError)
        }
      }),
      { numRuns: 2000 },
    )
  })
})
