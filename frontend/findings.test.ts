import assert from 'node:assert/strict'
import type { CheckReport } from './check.ts'
import { check } from './check.ts'
import { findingsOf, renderFindings } from './findings.ts'
import { renderSarif } from './sarif.ts'
import { fakeResolver, optionsWith } from './testing/convert-text.ts'

function reportOf(
  text: string,
  buildArgs: Readonly<Record<string, string>> = {},
): Promise<CheckReport> {
  return check({
    text,
    parseOptions: { name: 'app/Dockerfile' },
    options: optionsWith({ buildArgs: new Map(Object.entries(buildArgs)) }),
    resolver: fakeResolver(),
    signal: new AbortController().signal,
    hasOwnRules: true,
  })
}

async function textOf(
  text: string,
  buildArgs?: Readonly<Record<string, string>>,
): Promise<string[]> {
  const report = await reportOf(text, buildArgs)
  return renderFindings(await findingsOf(report), report).split('\n')
}

describe('findings as text', () => {
  it('name file, line and column, and mark the piece', async () => {
    assert.deepEqual(await textOf('FROM a:1\n\tCOPYY a b\nFROM b\n'), [
      'app/Dockerfile:2:2: error: unknown instruction: COPYY (did you mean COPY?) [unknown-instruction]',
      '    2 | \tCOPYY a b',
      '      | \t^~~~~',
      'app/Dockerfile: 1 error',
      '',
    ])
    assert.deepEqual(await textOf('FROM a:1\nCMD x \\\n y\n'), [
      'app/Dockerfile:2:1: warning: JSON arguments recommended for CMD to prevent unintended behavior related to ' +
        'OS signals [JSONArgsRecommended]',
      '    2 | CMD x \\',
      '      | ^~~~~~~',
      'app/Dockerfile: 1 warning',
      '',
    ])
  })

  it('say where the other place is', async () => {
    const lines = await textOf('FROM a AS x\nCOPY --from=y a b\nFROM b AS y\n')
    assert.match(lines[0] ?? '', /^app\/Dockerfile:2:\d+: error: /)
    assert.match(lines[3] ?? '', /^app\/Dockerfile:3:1: note: /)
  })

  it('are none for a clean file, and heed directive and build argument', async () => {
    const text = '# check=skip=StageNameCasing\nFROM a AS X\n'
    assert.deepEqual(await textOf(text), ['app/Dockerfile: nothing found', ''])
    const override = { BUILDKIT_DOCKERFILE_CHECK: 'skip=JSONArgsRecommended' }
    assert.match((await textOf(text, override))[0] ?? '', /\[StageNameCasing\]$/)
  })
})

describe('findings as SARIF', () => {
  it('hold rules, places and levels', async () => {
    const report = await reportOf('FROM a:1\nFROM b\nCMD x\n')
    const findings = await findingsOf(report)
    const sarif: unknown = JSON.parse(
      renderSarif(findings, { uri: 'app/Dockerfile', version: '1' }),
    )
    const region = (line: number, endColumn: number) => ({
      physicalLocation: {
        artifactLocation: { uri: 'app/Dockerfile' },
        region: { startLine: line, startColumn: 1, endLine: line, endColumn },
      },
    })
    assert.ok(typeof sarif === 'object' && sarif !== null && 'runs' in sarif)
    assert.ok(Array.isArray(sarif.runs))
    const results = sarif.runs[0].results.map(
      ({ ruleId, ruleIndex, level, locations }: Record<string, unknown>) => ({
        ruleId,
        ruleIndex,
        level,
        locations,
      }),
    )
    assert.deepEqual(results, [
      { ruleId: 'FloatingBaseImage', ruleIndex: 0, level: 'warning', locations: [region(2, 7)] },
      { ruleId: 'JSONArgsRecommended', ruleIndex: 1, level: 'warning', locations: [region(3, 6)] },
    ])
  })
})
