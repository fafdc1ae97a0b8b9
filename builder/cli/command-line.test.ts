import assert from 'node:assert/strict'
import { splitCommandLine } from './command-line.ts'

const NAMES = new Set(['build', 'images', 'help'])

describe('splitCommandLine', () => {
  it('takes anything that is no command for the arguments of build', () => {
    assert.deepEqual(splitCommandLine(['-t', 'x', '.'], NAMES), {
      word: 'build',
      rest: ['-t', 'x', '.'],
    })
    assert.deepEqual(splitCommandLine(['.'], NAMES), { word: 'build', rest: ['.'] })
  })

  it('finds a command, also behind --root', () => {
    assert.deepEqual(splitCommandLine(['images', '-q'], NAMES), { word: 'images', rest: ['-q'] })
    assert.deepEqual(splitCommandLine(['--root', '/r', 'images'], NAMES), {
      word: 'images',
      rest: ['--root', '/r'],
    })
    assert.deepEqual(splitCommandLine(['--root=/r', '.'], NAMES), {
      word: 'build',
      rest: ['--root=/r', '.'],
    })
  })

  it('shows the help when nothing or --help is given', () => {
    assert.equal(splitCommandLine([], NAMES).word, 'help')
    assert.equal(splitCommandLine(['--help'], NAMES).word, 'help')
    assert.equal(splitCommandLine(['--version'], NAMES).word, 'version')
  })
})
