import type { ReportedFinding } from './findings.ts'

/**
 * The findings as SARIF 2.1.0, which code-scanning pages read. `uri` names the file: relative to the repository, or
 * absolute. Columns count UTF-16 units, which is what SARIF expects unless told otherwise.
 */
export function renderSarif(
  findings: readonly ReportedFinding[],
  { uri, version }: { readonly uri: string; readonly version: string },
): string {
  const rules = new Map(findings.map((finding) => [finding.rule, finding]))
  const ids = [...rules.keys()]
  const location = (range: ReportedFinding['range']) => ({
    physicalLocation: {
      artifactLocation: { uri },
      ...(range === undefined ? {} : { region: regionOf(range) }),
    },
  })
  const document = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'tsbuild', version, rules: [...rules.values()].map(ruleOf) } },
        columnKind: 'utf16CodeUnits',
        results: findings.map(({ rule, level, message, range, related }) => ({
          ruleId: rule,
          ruleIndex: ids.indexOf(rule),
          level,
          message: { text: message },
          locations: [location(range)],
          ...(related === undefined
            ? {}
            : {
                relatedLocations: [
                  { ...location(related.range), id: 1, message: { text: related.label } },
                ],
              }),
        })),
      },
    ],
  }
  return JSON.stringify(document, undefined, 2)
}

function ruleOf({ rule, description, url, level }: ReportedFinding): object {
  return {
    id: rule,
    shortDescription: { text: description },
    ...(url === '' ? {} : { helpUri: url }),
    defaultConfiguration: { level },
  }
}

function regionOf(range: NonNullable<ReportedFinding['range']>): object {
  const { startLine, startColumn, endLine, endColumn } = range
  const isWholeLine = endLine === startLine && endColumn <= startColumn
  return isWholeLine
    ? { startLine }
    : { startLine, startColumn: startColumn + 1, endLine, endColumn: endColumn + 1 }
}
