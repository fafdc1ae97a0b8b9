import assert from 'node:assert/strict'
import { BEGIN, END, median, reportOf, withReport } from './report.ts'
import { WORKLOADS } from './workloads.ts'

describe('bench report', () => {
  it('takes the middle value, or the mean of the two in the middle', () => {
    assert.equal(median([3, 1, 2]), 2)
    assert.equal(median([4, 1, 2, 3]), 2.5)
    assert.equal(median([7]), 7)
    assert.ok(Number.isNaN(median([])))
  })

  it('puts the ratio to BuildKit beside the budget', () => {
    const workload = WORKLOADS.find(({ id }) => id === 'steps-40')
    assert.ok(workload !== undefined)
    const command = { argv: ['true'], env: {} }
    const builder = { build: () => command, prune: command, daemons: [] }
    const report = reportOf({
      builders: [
        { ...builder, id: 'tsbuild', title: 'tsbuild' },
        { ...builder, id: 'buildkit', title: 'Docker with BuildKit' },
      ],
      comparisons: [
        {
          workload,
          series: new Map([
            ['tsbuild', { seconds: [1, 0.9, 1.1], peakBytes: 50e6 }],
            ['buildkit', { seconds: [10], peakBytes: 400e6 }],
          ] as const),
        },
      ],
      command: 'npm run bench',
    })
    assert.match(
      report,
      /\| 40 RUN steps .* \| 10\.00 s \| 1\.00 s \(0\.90\.\.1\.10\) \| 0\.10 \| 0\.2 \| 400 MB \| 50 MB \|/,
    )
  })
  it('stands between its marks, in a document that is made when there is none', () => {
    const first = withReport(undefined, 'one')
    assert.equal(first, `# Benchmarks\n\n${BEGIN}\n\none\n\n${END}\n`)
    const written = `Before.\n${BEGIN}old${END}\nAfter.\n`
    assert.equal(withReport(written, 'two'), `Before.\n${BEGIN}\n\ntwo\n\n${END}\nAfter.\n`)
    assert.equal(withReport('no marks', 'two'), undefined)
  })
})
