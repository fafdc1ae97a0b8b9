import assert from 'node:assert/strict'
import { OutputTail } from './output-tail.ts'

describe('OutputTail', () => {
  it('keeps the last lines, with those that have no end yet', () => {
    const tail = new OutputTail(3)
    tail.add('stdout', Buffer.from('one\ntwo\nthree\nfo'))
    assert.deepEqual(tail.lines, ['two', 'three', 'fo'])
    tail.add('stdout', Buffer.from('ur\n'))
    assert.deepEqual(tail.lines, ['two', 'three', 'four'])
  })

  it('does not mix the beginning of a line with the other stream', () => {
    const tail = new OutputTail(9)
    tail.add('stdout', Buffer.from('compiling...'))
    tail.add('stderr', Buffer.from('error: no\n'))
    assert.deepEqual(tail.lines, ['error: no', 'compiling...'])
  })

  it('waits for the rest of a character', () => {
    const tail = new OutputTail(9)
    const [first, second] = [Buffer.from('ä').subarray(0, 1), Buffer.from('ä').subarray(1)]
    assert.equal(tail.add('stdout', first), '')
    assert.equal(tail.add('stdout', second), 'ä')
  })
})
