import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseDockerfile } from './dockerfile.ts'
import { DockerfileErrors } from './errors.ts'
import type { Command } from './instructions/parse-instruction.ts'

const faults = (source: string, syntax?: string): string[] => {
  try {
    parseDockerfile(source, { name: 'Dockerfile', syntax })
    return []
  } catch (error) {
    if (!(error instanceof DockerfileErrors)) throw error
    return error.list.map(({ range, message }) => `${range?.startLine ?? '-'}: ${message}`)
  }
}

const fault = (line: string): string => {
  const [first = 'none', ...more] = faults(`FROM a\n${line}\n`)
  assert.deepEqual(more, [])
  return first.replace('2: dockerfile parse error on line 2: ', '')
}

function command(line: string): Command {
  const [stage] = parseDockerfile(`FROM a\n${line}\n`, { name: 'Dockerfile' }).stages
  const [first] = stage?.commands ?? []
  assert.ok(first !== undefined)
  return first
}

describe('parseDockerfile', () => {
  it('warns of what is above an error, unless the build says that it must not', () => {
    const rules = (...args: [string, string][]): string[] => {
      try {
        const text = 'FROM a\nMAINTAINER b\nBAD x\nMAINTAINER c\n'
        parseDockerfile(text, { name: 'Dockerfile', buildArgs: new Map(args) })
        return assert.fail('no error')
      } catch (error) {
        if (!(error instanceof DockerfileErrors)) throw error
        return error.warnings.map(({ rule, range }) => `${rule} ${range.startLine}`)
      }
    }
    assert.deepEqual(rules(), ['MaintainerDeprecated 2'])
    assert.deepEqual(rules(['BUILDKIT_DOCKERFILE_CHECK', 'skip=MaintainerDeprecated']), [])
  })

  it('says what is missing from a file that builds nothing', () => {
    assert.deepEqual(faults(''), ['-: the Dockerfile cannot be empty'])
    assert.deepEqual(faults('# only a comment\n'), ['1: file with no instructions'])
    assert.deepEqual(faults('\n# a\n\n'), ['3: file with no instructions'])
    assert.deepEqual(faults('ARG a\n'), ['-: dockerfile contains no stages to build'])
    assert.deepEqual(faults('RUN a\nFROM b\n'), ['1: no build stage in current context'])
  })

  it('reports everything that is wrong at once, in the order of the lines', () => {
    const found = faults('FORM a\nFROM a\nCOPY --chwon=x a b\nENV A\nRUN ok\nUSER\n')
    assert.deepEqual(found, [
      '1: dockerfile parse error on line 1: unknown instruction: FORM (did you mean FROM?)',
      '3: dockerfile parse error on line 3: unknown flag: --chwon (did you mean chown?)',
      '4: dockerfile parse error on line 4: ENV must have two arguments',
      '6: dockerfile parse error on line 6: USER requires exactly one argument',
    ])
  })

  it('reports with them what only an expansion finds', () => {
    const lines = ['FROM a', "LABEL x=it's", 'RUN --mount=type=x,target=/t y', 'QQQQQQ', 'ENV A=${']
    assert.deepEqual(faults(lines.join('\n')), [
      '2: failed to process "it\'s": unexpected end of statement while looking for matching single-quote',
      '3: unsupported mount type "x"',
      '4: dockerfile parse error on line 4: unknown instruction: QQQQQQ',
      '5: failed to process "${": syntax error: missing \'}\'',
    ])
    // What depends on values is no fault yet.
    assert.equal(faults('FROM a\nENV A=${B:?none}\nRUN --mount=type=$C c\nFOO').length, 1)
  })

  it('takes what follows a bad FROM for its stage', () => {
    assert.deepEqual(faults('FROM a b\nRUN c\n').length, 1)
  })

  it('takes official frontends and refuses others', () => {
    assert.deepEqual(faults('# syntax=docker/dockerfile:1.7-labs\nFROM a\n'), [])
    assert.deepEqual(faults('# syntax=docker.io/docker/dockerfile@sha256:00\nFROM a\n'), [])
    assert.match(
      faults('# syntax=evil/frontend\nFROM a\n')[0] ?? '',
      /^1: syntax evil\/frontend is not/,
    )
    assert.match(faults('// syntax=evil\n{}\n')[0] ?? '', /^1: syntax evil is not supported/)
    assert.match(faults('FROM a\n', 'evil')[0] ?? '', /^-: syntax evil/)
    assert.deepEqual(faults('# syntax=evil\nFROM a\n', 'dockerfile.v0'), [])
  })

  it('reads stage names in lower case and refuses bad ones', () => {
    const { stages } = parseDockerfile('from a as Build\n', { name: 'Dockerfile' })
    assert.equal(stages[0]?.from.stageName, 'build')
    assert.match(faults('FROM a AS 1x\n')[0] ?? '', /invalid name for build stage: "1x"/)
    assert.match(faults('FROM a AS\n')[0] ?? '', /either one or three arguments/)
  })

  it('checks flags: unknown, twice, without value, not boolean', () => {
    assert.equal(fault('COPY --from=a --from=b x y'), 'duplicate flag specified: --from')
    assert.equal(fault('COPY --from x y'), 'missing a value on flag: --from')
    assert.equal(fault('COPY --link= x y'), 'missing a value on flag: --link')
    assert.equal(
      fault('COPY --link=maybe x y'),
      'expecting boolean value for flag --link, not: maybe',
    )
    assert.equal(fault('ENV --x a=b'), 'unknown flag: --x')
  })

  it('reads flags with quotes, repeated ones, and stops at --', () => {
    const copy = command('COPY --link=TRUE --exclude="a b" --exclude=c -- --x y')
    assert.ok(copy.kind === 'copy')
    assert.deepEqual([copy.link, copy.exclude, copy.sources], [true, ['a b', 'c'], ['--x']])
  })

  it('reads the JSON form, and takes what is no JSON for shell form', () => {
    const exec = command('CMD ["a", "b c"]')
    assert.ok(exec.kind === 'cmd')
    assert.deepEqual(exec.command.args, ['a', 'b c'])
    const shell = command("CMD ['a'] ")
    assert.ok(shell.kind === 'cmd')
    assert.deepEqual([shell.command.args, shell.command.isShellForm], [["['a']"], true])
    assert.match(fault('CMD ["a", 1]'), /comprised of strings only/)
  })

  it('reads both forms of ENV', () => {
    const pairs = command('ENV A=1 B="x y" C=a\\ b D=')
    assert.ok(pairs.kind === 'env')
    assert.deepEqual(
      pairs.pairs.map(({ key, value }) => [key, value]),
      [
        ['A', '1'],
        ['B', '"x y"'],
        ['C', 'a\\ b'],
        ['D', ''],
      ],
    )
    const legacy = command('ENV A  b = c')
    assert.ok(legacy.kind === 'env')
    assert.deepEqual([legacy.isLegacyForm, legacy.pairs], [true, [{ key: 'A', value: 'b = c' }]])
    assert.match(fault('ENV A=b C'), /^Syntax error - can't find = in "C"/)
    assert.equal(fault('ENV =x'), 'ENV names can not be blank')
  })

  it('tells an ARG without value from one with an empty value', () => {
    const arg = command('ARG A B= C="x y"')
    assert.ok(arg.kind === 'arg')
    assert.deepEqual(
      arg.args.map(({ key, value }) => [key, value]),
      [
        ['A', undefined],
        ['B', ''],
        ['C', '"x y"'],
      ],
    )
  })

  it('checks HEALTHCHECK', () => {
    assert.equal(fault('HEALTHCHECK BLAH x'), 'Unknown type "BLAH" in HEALTHCHECK (try CMD)')
    assert.equal(fault('HEALTHCHECK NONE x'), 'HEALTHCHECK NONE takes no arguments')
    assert.equal(fault('HEALTHCHECK CMD'), 'Missing command after HEALTHCHECK CMD')
    assert.match(fault('HEALTHCHECK --timeout=5 CMD x'), /time: missing unit in duration "5"/)
    assert.match(fault('HEALTHCHECK --timeout=1h2d CMD x'), /unknown unit "d" in duration "1h2d"/)
    assert.match(fault('HEALTHCHECK --timeout=x CMD x'), /time: invalid duration "x"/)
    assert.match(fault('HEALTHCHECK --timeout=1us CMD x'), /cannot be less than 1ms/)
    assert.match(fault('HEALTHCHECK --retries=-1 CMD x'), /cannot be negative/)
  })

  it('looks at no flags of STOPSIGNAL, ARG and HEALTHCHECK NONE', () => {
    const signal = command('STOPSIGNAL --x=y SIGTERM')
    assert.ok(signal.kind === 'stopsignal')
    assert.equal(signal.value, 'SIGTERM')
    assert.equal(command('ARG --x=y a').kind, 'arg')
    assert.equal(command('HEALTHCHECK --x=y NONE').kind, 'healthcheck')
    assert.equal(fault('USER --x=y a'), 'unknown flag: --x')
  })

  it('keeps an ONBUILD trigger as text, and refuses what may not be one', () => {
    const onbuild = command('ONBUILD  RUN <<E\nx\nE')
    assert.ok(onbuild.kind === 'onbuild')
    assert.equal(onbuild.expression, 'RUN <<E\nx\nE')
    assert.match(fault('ONBUILD FROM x'), /FROM isn't allowed as an ONBUILD trigger/)
    assert.match(fault('ONBUILD ONBUILD RUN x'), /Chaining ONBUILD/)
    assert.match(fault('ONBUILD COPY a'), /requires at least two arguments/)
  })

  it('wants a destination that is no heredoc', () => {
    assert.equal(fault('COPY a <<E\nE'), 'COPY cannot accept a heredoc as a destination')
    assert.match(fault('ADD x'), /^ADD requires at least two arguments, but only one was provided/)
  })

  it('refuses variables in the source of a mount before anything is resolved', () => {
    assert.match(fault('RUN --mount=from=$X,target=/x true'), /doesn't support variable expansion/)
  })

  it('takes SHELL in JSON form only', () => {
    assert.match(fault('SHELL bash -c'), /to be in JSON form.*SHELL \["bash","-c"\]/)
    assert.equal(fault('SHELL []'), 'SHELL requires at least one argument')
  })

  it('throws nothing but DockerfileErrors, whatever the text', () => {
    const word = fc.constantFrom(
      ...['FROM', 'RUN', 'COPY', 'ENV', 'ARG', 'HEALTHCHECK', 'ONBUILD', 'SHELL', 'EXPOSE', 'ADD'],
      ...[
        '--mount=',
        '--x',
        'a=b',
        '["a"',
        ']',
        '<<E',
        'E',
        '\\',
        '\n',
        '\n',
        ' ',
        '"',
        "'",
        '$',
        '#',
      ],
    )
    const text = fc.oneof(
      fc.array(word, { maxLength: 30 }).map((words) => words.join(' ')),
      fc.string({ unit: 'binary', maxLength: 200 }),
    )
    fc.assert(
      fc.property(text, (source) => {
        faults(source)
        faults(`FROM a\n${source}`)
      }),
      { numRuns: 1000 },
    )
  })

  it('reads 100,000 lines in less than two seconds', () => {
    const lines = Array.from({ length: 50_000 }, (_, i) => `RUN echo ${i} \\\n  && true`)
    const started = process.cpuUsage()
    parseDockerfile(`FROM a\n${lines.join('\n')}\n`, { name: 'Dockerfile' })
    parseDockerfile(`FROM a\nRUN a ${'\\\n b '.repeat(100_000)}`, { name: 'Dockerfile' })
    const { user, system } = process.cpuUsage(started)
    assert.ok(user + system < 2_000_000)
  })
})
