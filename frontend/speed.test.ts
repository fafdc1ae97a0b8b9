import assert from 'node:assert/strict'
import { parseDockerfile } from './dockerfile.ts'
import { convertText, faultsOf } from './testing/convert-text.ts'

/** Processor time, which does not depend on what else the machine does. */
function cpuMsOf(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

function longText(lines: number): string {
  const line = (index: number) =>
    [
      'RUN echo "some words to fill the line up to about fifty"',
      `ENV A${index % 50}=value-$A3-\${B:-default} C="quoted words"`,
      `COPY --chown=1:2 src/file-${index} /dest/dir/`,
      `LABEL key${index % 100}="a value of a length that fills the line"`,
    ][index % 4] ?? ''
  return ['FROM a', ...Array.from({ length: lines }, (_, index) => line(index))].join('\n')
}

describe('large and hostile Dockerfiles', function () {
  this.timeout(60_000)

  it('are read in time that grows with the text', () => {
    const [small, large] = [longText(25_000), longText(100_000)]
    parseDockerfile(small, { name: 'Dockerfile' })
    const smallMs = cpuMsOf(() => parseDockerfile(small, { name: 'Dockerfile' }))
    const largeMs = cpuMsOf(() => parseDockerfile(large, { name: 'Dockerfile' }))
    assert.ok(large.length > 5_000_000, `${large.length} characters`)
    // Half a second on a quiet machine.
    assert.ok(largeMs < 2000, `${largeMs} ms`)
    assert.ok(largeMs < 12 * smallMs + 200, `${smallMs} ms, four times the text ${largeMs} ms`)
  })

  it('cannot fill the memory with values made of themselves', async () => {
    const doubling = Array.from({ length: 60 }, () => 'ENV A=$A$A')
    const faults = await faultsOf(['FROM a', 'ENV A=xxxxxxxx', ...doubling])
    assert.match(faults[0] ?? '', /expansion: .* longer than 1048576 characters/)
    const replacing = `ENV B=\${A//x/${'y'.repeat(50_000)}}`
    const replaced = await faultsOf(['FROM a', `ENV A=${'x'.repeat(50_000)}`, replacing])
    assert.match(replaced[0] ?? '', /longer than 1048576 characters/)
  })

  it('may hold long values', async () => {
    const text = 'x'.repeat(60_000)
    const graph = await convertText(['FROM a', `ENV A=${text}`, 'ENV B=$A$A$A', 'LABEL l="$B"'])
    assert.equal(graph.config.config.Labels?.['l'], text.repeat(3))
  })
})
