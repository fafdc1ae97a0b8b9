import assert from 'node:assert/strict'
import { check, checkJson, renderCheck } from './check.ts'
import type { CheckReport } from './check.ts'
import type { StageImageConfig } from './image-config.ts'
import { fakeResolver, optionsWith } from './testing/convert-text.ts'

function checkText(text: string, target?: string): Promise<CheckReport> {
  return check({
    text,
    parseOptions: { name: 'Dockerfile' },
    options: optionsWith({ target }),
    resolver: fakeResolver(),
    signal: new AbortController().signal,
  })
}

describe('check', () => {
  it('looks at every stage without a target, at the needed ones with one', async () => {
    const text = 'FROM a AS x\nCMD b\nFROM c AS y\nCMD d\n'
    assert.equal((await checkText(text)).warnings.length, 2)
    assert.equal((await checkText(text, 'y')).warnings.length, 1)
  })

  it('prints warnings by line with their lines', async () => {
    const report = await checkText('FROM a\nCMD b\nMAINTAINER c\n')
    assert.equal(
      renderCheck(report).split('\n\n')[1],
      [
        'WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/',
        'JSON arguments recommended for CMD to prevent unintended behavior related to OS signals',
        'Dockerfile:2',
        '--------------------',
        '   1 |     FROM a',
        '   2 | >>> CMD b',
        '   3 |     MAINTAINER c',
        '   4 |     ',
        '--------------------',
      ].join('\n'),
    )
    assert.match(renderCheck(report), /^Check complete, 2 warnings have been found!\n/)
    assert.equal(renderCheck(await checkText('FROM a\n')), 'Check complete, no warnings found.\n')
  })

  it('sees a whole instruction behind a byte order mark', async () => {
    const output = renderCheck(await checkText('\ufeffFROM a as b\n'))
    assert.match(output, /\n   1 \| >>> \ufeffFROM a as b\n   2 \|     \n/)
  })

  it('reports errors beside the warnings found until then', async () => {
    const report = await checkText('FROM a as b\nENV A=${\n')
    assert.deepEqual(
      report.warnings.map(({ rule }) => rule),
      ['FromAsCasing'],
    )
    assert.equal(report.error?.list[0]?.range?.startLine, 2)
    assert.match(
      renderCheck(report),
      /^Check complete, 1 warning[\s\S]*\n\nERROR: .*failed to process "\$\{"[\s\S]*Dockerfile:2\n/,
    )
    const json: unknown = JSON.parse(checkJson(report))
    assert.ok(typeof json === 'object' && json !== null && 'buildError' in json)
  })

  it('does not say that there are no warnings in a file that could not be checked', async () => {
    assert.match(
      renderCheck(await checkText('FROM a AS b\nENV A=${\n')),
      /^ERROR: .*\nDockerfile:2\n/,
    )
  })

  it('reports what was found above an instruction that cannot be read', async () => {
    const report = await checkText('FROM a as b\nMAINTAINER c\nCOPYY d e\nFROM f as g\n')
    assert.deepEqual(
      report.warnings.map(({ rule }) => rule),
      ['FromAsCasing', 'MaintainerDeprecated'],
    )
    assert.equal(report.error?.list[0]?.code, 'unknown-instruction')
  })

  it('reports empty lines within instructions below one that cannot be read, too', async () => {
    const { warnings } = await checkText('FROM a\nCOPYY d e\nRUN f \\\n\n g\nFROM h as i\n')
    assert.deepEqual(
      warnings.map(({ rule, range }) => `${rule}:${range?.startLine}`),
      ['NoEmptyContinuation:5'],
    )
  })

  it('reports nothing of a file whose lines cannot be taken apart', async () => {
    for (const line of ['RUN <<E', 'ENV a=b c', 'LABEL a', 'CMD ["a", 1]']) {
      const { warnings, error } = await checkText(`FROM a as b\nMAINTAINER\n${line}\n`)
      assert.deepEqual(warnings, [])
      assert.equal(error?.list.at(-1)?.code, 'syntax')
    }
  })

  it('reports how an instruction begins that is then found to be wrong', async () => {
    const rules = async (text: string): Promise<readonly string[]> =>
      (await checkText(text)).warnings.map(({ rule }) => rule)
    assert.deepEqual(await rules('FROM a as B$\nFROM c as d\n'), [
      'StageNameCasing',
      'FromAsCasing',
    ])
    assert.deepEqual(await rules('FROM a is B c\n'), ['FromAsCasing'])
    assert.deepEqual(await rules('FROM a\nMAINTAINER\n'), ['MaintainerDeprecated'])
    assert.deepEqual(await rules('MAINTAINER x\nFROM a\n'), ['MaintainerDeprecated'])
    assert.deepEqual(await rules('FROM a\nENV b=${c?}\nENV d=$e\n'), ['UndefinedVar'])
    assert.deepEqual(await rules('FROM a\nEXPOSE 1:2:3:4 8:8\n'), ['ExposeInvalidFormat'])
  })

  it('reports nothing of the stages below an error', async () => {
    const text = 'FROM a\nSTOPSIGNAL no\nFROM b\nENV c=$d\n'
    assert.deepEqual((await checkText(text)).warnings, [])
    const base = 'ARG a\nFROM ${b:-c}\nFROM $a\nFROM x$e\n'
    const details = (await checkText(base)).warnings.map(({ detail }) => detail)
    assert(!details.some((detail) => detail.includes("'e'")), details.join('\n'))
    assert(details.some((detail) => detail.includes("'b'")))
    const word = (await checkText('FROM a${b:?c}\n')).warnings.map(({ detail }) => detail)
    assert.deepEqual(word, ["FROM argument 'b' is not declared"])
    // Names are looked at after the words of all FROM.
    const names = (await checkText('FROM A=b\nFROM x$c\n')).warnings.map(({ detail }) => detail)
    assert.ok(names.includes("FROM argument 'c' is not declared"), names.join('\n'))
  })

  it('is failed by `error=true` and a warning', async () => {
    const report = await checkText('# check=error=true\nFROM a as b\n')
    assert.equal(report.warnings.length, 1)
    assert.equal(report.error?.message, 'lint violation found for rules: FromAsCasing')
    assert.equal((await checkText('# check=error=true\nFROM a AS b\n')).error, undefined)
  })

  it('takes the check directive below a shebang line too', async () => {
    const text = '#!/usr/bin/env tsbuild\n# check=skip=FromAsCasing\nFROM a as b\n'
    assert.deepEqual((await checkText(text)).warnings, [])
  })

  it('leaves out the triggers of a stage that the target does not need', async () => {
    const onbuild: StageImageConfig = {
      os: 'linux',
      architecture: 'amd64',
      config: { OnBuild: ['RUNN x'] },
    }
    const report = await check({
      text: 'FROM onb AS other\nFROM a\n',
      parseOptions: { name: 'Dockerfile' },
      options: optionsWith(),
      resolver: fakeResolver({ images: { 'docker.io/library/onb:latest': onbuild } }),
      signal: new AbortController().signal,
    })
    assert.equal(report.error, undefined)
  })

  it('says nothing of the platform of an image without layers', async () => {
    const empty: StageImageConfig = {
      os: 'linux',
      architecture: 'arm64',
      config: {},
      rootfs: { type: 'layers', diff_ids: [] },
    }
    const report = await check({
      text: 'FROM empty\n',
      parseOptions: { name: 'Dockerfile' },
      options: optionsWith(),
      resolver: fakeResolver({ images: { 'docker.io/library/empty:latest': empty } }),
      signal: new AbortController().signal,
    })
    assert.deepEqual(report.warnings, [])
  })

  it('gives every line of an instruction a range of its own in JSON', async () => {
    const { warnings } = JSON.parse(checkJson(await checkText('FROM a\nCMD b \\\n c\n'))) as {
      warnings: readonly { readonly location: unknown }[]
    }
    const [second, third] = [2, 3].map((line) => ({ start: { line }, end: { line } }))
    assert.deepEqual(warnings[0]?.location, { ranges: [second, third] })
  })

  it('gives the JSON that buildx gives', async () => {
    assert.match(checkJson(await checkText('FROM a\n')), /^ {2}"warnings": null,$/m)
    const text = 'FROM a as b\n'
    assert.deepEqual(JSON.parse(checkJson(await checkText(text))), {
      warnings: [
        {
          ruleName: 'FromAsCasing',
          description: "The 'as' keyword should match the case of the 'from' keyword",
          url: 'https://docs.docker.com/go/dockerfile/rule/from-as-casing/',
          detail: "'as' and 'FROM' keywords' casing do not match",
          location: { ranges: [{ start: { line: 1 }, end: { line: 1 } }] },
        },
      ],
      sources: [{ filename: 'Dockerfile', language: 'Dockerfile', data: btoa(text) }],
    })
  })
})
