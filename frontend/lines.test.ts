import assert from 'node:assert/strict'
import fc from 'fast-check'
import { scanLines } from './lines.ts'

const texts = (source: string): string[] => scanLines(source).lines.map(({ text }) => text)
const faults = (source: string): string[] => scanLines(source).errors.map(({ message }) => message)

describe('scanLines', () => {
  it('joins continued lines and keeps the blanks that begin them', () => {
    assert.deepEqual(texts('RUN a \\\n   b\\  \n c\n'), ['RUN a    b c'])
  })

  it('does not take an escaped escape character for a continuation', () => {
    assert.deepEqual(texts('RUN a\\\\\nRUN b\\\\\\\nRUN c\n'), [
      'RUN a\\\\',
      'RUN b\\\\\\',
      'RUN c',
    ])
  })

  it('drops comments inside a continued instruction and notes blank lines', () => {
    const { lines } = scanLines('RUN a \\\n# one\n  # two\n\n  b\n')
    assert.equal(lines[0]?.text, 'RUN a   b')
    assert.equal(lines[0]?.emptyContinuationLine, 5)
    assert.equal(lines[0]?.range.endLine, 5)
  })

  it('accepts a continuation at the end of the file', () => {
    assert.deepEqual(texts('RUN a \\'), ['RUN a '])
  })

  it('continues with a backtick when the escape directive says so', () => {
    assert.deepEqual(texts('# escape=`\nRUN a `\nb\\\nRUN c\n'), ['RUN a b\\', 'RUN c'])
  })

  it('reads directives only at the top', () => {
    assert.equal(scanLines('# a comment\n# escape=`\nRUN a\n').escape, '\\')
    assert.equal(scanLines('\n# escape=`\nRUN a\n').escape, '\\')
    assert.equal(scanLines('#   EsCaPe  =  `  \nRUN a\n').escape, '`')
  })

  it('refuses a directive that comes twice and an escape character that is none', () => {
    assert.deepEqual(faults('# escape=`\n# escape=`\n'), [
      'only one escape parser directive can be used',
    ])
    const [twice] = scanLines('# escape=`\n# syntax=x\n# escape=`\n').errors
    assert.equal(twice?.range?.startLine, 3)
    assert.equal(twice.related?.range.startLine, 1)
    assert.deepEqual(faults('# escape=x\n'), ["invalid escape token 'x' does not match ` or \\"])
  })

  it('strips a byte order mark and carriage returns', () => {
    assert.deepEqual(texts('\ufeffFROM a\r\nRUN b \\\r\n c\r\n'), ['FROM a', 'RUN b  c'])
  })

  it('hands comments to the instruction below; an empty comment forgets them', () => {
    const { lines } = scanLines('# check=skip=x\n# one\n#\n# two\nARG a\n# three\n\nARG b\n')
    assert.deepEqual(
      lines.map(({ comments }) => comments),
      [['two'], ['three']],
    )
  })

  it('reads several heredocs in the order of their openings', () => {
    const [line] = scanLines('COPY <<A <<-"B" /x/\na\nA\n\tb\n\tB\nRUN c\n').lines
    assert.deepEqual(line?.heredocs, [
      { name: 'A', isExpanded: true, isChomped: false, content: 'a\n' },
      { name: 'B', isExpanded: false, isChomped: true, content: '\tb\n' },
    ])
    assert.deepEqual([line?.range.startLine, line?.range.endLine], [1, 5])
  })

  it('finds the heredoc of a line with expansions that only a shell knows', () => {
    // What is not set passes through, `${x:0:3}` too; `${x^^}` ends the search, as in BuildKit.
    const bodies = (line: string) => scanLines(`${line}\nx\nE\n`).lines[0]?.heredocs.length
    assert.equal(bodies('RUN cat <<E > ${x:0:3}'), 1)
    assert.equal(bodies('RUN cat <<E > ${x:-${y:1}}'), 1)
    assert.equal(bodies('RUN cat <<E > ${x^^}'), 0)
  })

  it('keeps carriage returns and comments in heredoc bodies', () => {
    const [line] = scanLines('RUN <<E\r\n# a\r\nE\r\n').lines
    assert.equal(line?.heredocs[0]?.content, '# a\r\n')
  })

  it('takes << in quotes, in arithmetic, in JSON and in other instructions for text', () => {
    for (const text of ['RUN echo "<<E"', 'RUN echo $((1<<3))', 'RUN ["a", "<<E"]', 'CMD <<E']) {
      assert.deepEqual(texts(`${text}\nRUN b\n`), [text, 'RUN b'])
    }
  })

  it('attaches the heredoc of an ONBUILD trigger', () => {
    const [line] = scanLines('ONBUILD RUN <<E\nx\nE\n').lines
    assert.equal(line?.heredocs[0]?.content, 'x\n')
  })

  it('reports a heredoc without an end with all its lines', () => {
    const [error] = scanLines('FROM a\nRUN <<E\nx\n').errors
    assert.equal(error?.message, 'unterminated heredoc')
    assert.deepEqual([error?.range?.startLine, error?.range?.endLine], [2, 3])
  })

  it('refuses a line of more than 65535 bytes, counted in UTF-8', () => {
    const message = 'dockerfile line greater than max allowed size of 65535'
    assert.deepEqual(faults(`# ${'x'.repeat(65_533)}\n`), [])
    assert.deepEqual(faults(`# ${'x'.repeat(65_534)}\n`), [message])
    assert.deepEqual(faults(`# ${'é'.repeat(32_767)}\n`), [message])
  })

  it('gives every line of any text to at most one instruction, in order', () => {
    const piece = fc.constantFrom(
      'RUN a',
      '\\\n',
      '\n',
      '# c',
      ' ',
      '<<E',
      'E',
      '\r',
      '`',
      '\t',
      'é',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        let last = 0
        for (const { range } of scanLines(pieces.join('')).lines) {
          assert.ok(range.startLine > last && range.endLine >= range.startLine)
          last = range.endLine
        }
      }),
    )
  })
})
