import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describeErrors } from './describe-errors.ts'
import { parseDockerfile } from './dockerfile.ts'
import { DockerfileErrors } from './errors.ts'

async function described(text: string): Promise<string> {
  try {
    parseDockerfile(text, { name: 'Dockerfile' })
  } catch (error) {
    if (error instanceof DockerfileErrors) return await describeErrors(error)
    throw error
  }
  return ''
}

describe('describeErrors', () => {
  it('marks the lines of an instruction and puts a caret below the piece at fault', async () => {
    const text = 'FROM a\n\nCOPY --chown=--bogus \\\n  --bogus=1 \\\n  a /b\nRUN x\n'
    assert.equal(
      await described(text),
      [
        'Dockerfile:3',
        '--------------------',
        '   2 |     ',
        '   3 | >>> COPY --chown=--bogus \\',
        '   4 | >>>   --bogus=1 \\',
        '     |       ^^^^^^^',
        '   5 | >>>   a /b',
        '   6 |     RUN x',
        '--------------------',
        'dockerfile parse error on line 3: unknown flag: --bogus',
      ].join('\n'),
    )
  })

  it('shows every error of a file', async () => {
    const text = await described('FROM a\nRUM x\nENV\n')
    assert.match(text, /unknown instruction: RUM \(did you mean RUN\?\)\n\nDockerfile:3\n/)
  })

  it('stops where nobody reads on', async () => {
    const text = await described(`FROM a\n${'RUM x\n'.repeat(100)}`)
    assert.match(text, /\n\n\.\.\. and 80 more errors in Dockerfile$/)
  })

  it('keeps tabs before the caret', async () => {
    assert.match(await described('FROM\ta\nLABEL\ta=b\tc\n'), /\n {5}\| {5} {5}\t {3}\t\^\n/)
  })

  it('marks the whole line where the syntax tree library recurses for ever', async () => {
    assert.match(await described('FROM a\n\t\u0000FROM $x\n'), /\n {3}2 \| >>> /)
  })

  it('finds a place or none for any text', async () => {
    const word = fc.constantFrom(
      ...[
        'RUM',
        'COPY',
        'ENV',
        'HEALTHCHECK',
        'ONBUILD',
        '--x',
        '--from=',
        'a=b',
        '[',
        '<<E',
        '\\\n',
      ],
      ...['\n', ' ', '"', "'", '${', '}', '#', '`', '\r\n'],
    )
    await fc.assert(
      fc.asyncProperty(fc.array(word, { maxLength: 20 }), async (words) => {
        await described(`FROM a\n${words.join(' ')}\n`)
        await described(`# escape=\`\nFROM a\n${words.join('')}\n`)
      }),
      { numRuns: 500 },
    )
  })
})
