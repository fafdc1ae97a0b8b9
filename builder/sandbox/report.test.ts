import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ReportReader } from './report.ts'

function frame(type: string, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(5)
  header.write(type, 'latin1')
  header.writeUInt32LE(payload.length, 1)
  return Buffer.concat([header, payload])
}

describe('ReportReader', () => {
  it('gives the same reports however the bytes are cut', () => {
    const outputs = fc.array(
      fc.tuple(fc.constantFrom('O', 'E'), fc.uint8Array({ maxLength: 50 })),
      { maxLength: 8 },
    )
    fc.assert(
      fc.property(outputs, fc.integer({ min: 1, max: 40 }), (frames, step) => {
        const bytes = Buffer.concat(frames.map(([type, payload]) => frame(type, payload)))
        const reader = new ReportReader()
        const reports = []
        for (let at = 0; at < bytes.length; at += step)
          reports.push(...reader.add(bytes.subarray(at, at + step)))
        const expected = frames.map(([type, payload]) => ({
          type: 'output',
          stream: type === 'O' ? 'stdout' : 'stderr',
          bytes: Buffer.from(payload),
        }))
        assert.deepEqual(reports, expected)
      }),
    )
  })

  it('reads how a process ended', () => {
    const payload = Buffer.alloc(24)
    payload.writeInt32LE(137, 0)
    payload.writeInt32LE(9, 4)
    payload.writeBigUInt64LE(1500n, 8)
    payload.writeBigUInt64LE(2n, 16)
    assert.deepEqual(new ReportReader().add(frame('X', payload)), [
      { type: 'exit', exitCode: 137, signal: 9, cpuTimeMs: 1.5, peakMemoryBytes: 2048 },
    ])
  })

  it('reads a failing step with its reason', () => {
    const payload = Buffer.from('\x02\0\0\0mount\0/a on /b')
    assert.deepEqual(new ReportReader().add(frame('F', payload)), [
      { type: 'failure', step: 'mount', errno: 2, detail: '/a on /b' },
    ])
  })

  it('reads that a step has the /proc around it', () => {
    assert.deepEqual(new ReportReader().add(frame('P', Buffer.of(1))), [
      { type: 'shared-proc', isFenced: true },
    ])
  })

  it('refuses frames that sandbox-init never sends', () => {
    assert.throws(() => new ReportReader().add(frame('?', Buffer.alloc(0))), /frame of type "\?"/)
    assert.throws(
      () => new ReportReader().add(Buffer.from('O\xff\xff\xff\xff', 'latin1')),
      /frame of 4294967295 bytes/,
    )
  })
})
