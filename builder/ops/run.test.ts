import assert from 'node:assert/strict'
import { failureReason } from './run.ts'

describe('failureReason', () => {
  const failed = { exitCode: 137, isOutOfMemory: false, peakMemoryBytes: 25 * 1024 * 1024 }

  it('is the exit code, whatever memory was used', () => {
    assert.equal(failureReason(failed, { memoryBytes: 1 }), 'exit code: 137')
  })

  it('names limit and peak of a step that was killed for its memory', () => {
    assert.equal(
      failureReason({ ...failed, isOutOfMemory: true }, { memoryBytes: 24 * 1024 * 1024 }),
      'cannot allocate memory (limit 24.0 MiB, peak 25.0 MiB)',
    )
  })

  it('names neither where nobody knows', () => {
    const killed = { ...failed, isOutOfMemory: true, peakMemoryBytes: undefined }
    assert.equal(failureReason(killed, {}), 'cannot allocate memory')
  })
})
