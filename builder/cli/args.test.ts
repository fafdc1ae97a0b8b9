import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type FlagSpecs, readArgs } from './args.ts'
import { UsageError } from './errors.ts'

const SPECS: FlagSpecs = {
  file: { kind: 'text', short: 'f', help: 'x' },
  target: { kind: 'text', help: 'x' },
  tag: { kind: 'list', short: 't', help: 'x' },
  quiet: { kind: 'boolean', short: 'q', help: 'x' },
  pull: { kind: 'boolean', help: 'x' },
}

describe('readArgs', () => {
  it('reads every form of a value: apart, with =, glued to a short flag', () => {
    for (const argv of [['--file', 'D'], ['--file=D'], ['-f', 'D'], ['-fD'], ['-f=D']]) {
      assert.equal(readArgs(argv, SPECS).text('file'), 'D', argv.join(' '))
    }
  })

  it('reads short flags that run together', () => {
    const args = readArgs(['-qf', 'aux/D', '-tapp:v1', 'ctx'], SPECS)
    assert.equal(args.boolean('quiet'), true)
    assert.equal(args.text('file'), 'aux/D')
    assert.deepEqual(args.list('tag'), ['app:v1'])
    assert.deepEqual(args.positionals, ['ctx'])
  })

  it('takes a value that begins with a dash, as pflag does', () => {
    assert.equal(readArgs(['--target', '--pull'], SPECS).text('target'), '--pull')
    assert.equal(readArgs(['-f', '-'], SPECS).text('file'), '-')
  })

  it('reads booleans with a value and keeps the last one', () => {
    assert.equal(readArgs(['--pull=false'], SPECS).boolean('pull'), false)
    assert.equal(readArgs(['--pull', '--pull=0'], SPECS).boolean('pull'), false)
    assert.equal(readArgs(['--pull=T'], SPECS).boolean('pull'), true)
    assert.equal(readArgs([], SPECS).boolean('pull'), undefined)
    assert.throws(() => readArgs(['--pull=maybe'], SPECS), /must be true or false/)
  })

  it('ends the flags at --', () => {
    assert.deepEqual(readArgs(['--', '--pull', '-x'], SPECS).positionals, ['--pull', '-x'])
  })

  it('stops at the first argument when the rest belongs to another program', () => {
    const args = readArgs(['-q', 'image', 'ls', '-l', '--', 'x'], SPECS, { stopAtArgument: true })
    assert.deepEqual(args.positionals, ['image', 'ls', '-l', '--', 'x'])
  })

  it('names the nearest flag for an unknown one', () => {
    assert.throws(() => readArgs(['--tagg', 'x'], SPECS), {
      name: 'UsageError',
      message: 'unknown flag: --tagg; did you mean --tag?',
    })
    assert.throws(() => readArgs(['--zzzzzz'], SPECS), { message: 'unknown flag: --zzzzzz' })
    assert.throws(() => readArgs(['--__proto__'], SPECS), UsageError)
    assert.throws(() => readArgs(['-x'], SPECS), /unknown shorthand flag: 'x'/)
  })

  it('says which flag lacks its value', () => {
    assert.throws(() => readArgs(['ctx', '--target'], SPECS), {
      message: 'flag needs an argument: --target',
    })
  })

  it('gives back every value in order whatever form was used (property)', () => {
    // A value that begins with `=` cannot be told from `-t=value`.
    const value = fc.string({ minLength: 1 }).filter((text) => !text.startsWith('='))
    const form = fc.constantFrom(
      (text: string) => ['--tag', text],
      (text: string) => [`--tag=${text}`],
      (text: string) => ['-t', text],
      (text: string) => [`-t${text}`],
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(value, form)), (given) => {
        const argv = given.flatMap(([text, form]) => form(text))
        assert.deepEqual(
          readArgs(argv, SPECS).list('tag'),
          given.map(([text]) => text),
        )
      }),
    )
  })

  it('never fails otherwise than with a UsageError (property)', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (argv) => {
        try {
          readArgs(argv, SPECS)
        } catch (error) {
          assert.ok(error instanceof UsageError)
        }
      }),
    )
  })
})
