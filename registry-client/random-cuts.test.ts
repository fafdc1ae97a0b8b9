import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { RegistryClient } from './client.ts'
import { RegistryError } from './errors.ts'
import { FakeRegistry } from './testing/fake-registry.ts'
import {
  MemorySource,
  noise,
  RecordingSink,
  referenceTo,
  testClient,
} from './testing/test-client.ts'

const signal = new AbortController().signal
const SIZE = 200_000
const BYTES = noise(SIZE)

/** Where connections break: in which requests, after how many bytes of which side. */
const cuts = fc.array(
  fc.record({
    kind: fc.constantFrom('cut-answer' as const, 'cut-request' as const),
    afterBytes: fc.integer({ min: 0, max: SIZE }),
    method: fc.constantFrom('GET', 'PUT', 'PATCH', 'POST', 'HEAD'),
  }),
  { maxLength: 8 },
)

describe('connections that break at any byte', () => {
  let registry: FakeRegistry
  let client: RegistryClient

  beforeEach(async () => {
    client = testClient()
  })

  afterEach(() => client[Symbol.asyncDispose]())

  /** True: done and right. False: a clear error. Anything else fails the test. */
  async function isDone(work: Promise<unknown>): Promise<boolean> {
    try {
      await work
      return true
    } catch (error) {
      assert.ok(error instanceof RegistryError, String(error))
      assert.ok(['registry-unreachable', 'size-mismatch'].includes(error.code), error.message)
      return false
    }
  }

  it('never let wrong bytes arrive', async () => {
    await fc.assert(
      fc.asyncProperty(cuts, async (plan) => {
        registry = await FakeRegistry.start()
        try {
          const descriptor = registry.repository('app').addBlob(BYTES)
          for (const { method: _method, ...act } of plan) registry.script({ method: 'GET', act })
          const sink = new RecordingSink()
          const done = await isDone(
            client.fetchBlob(referenceTo(registry, 'app'), descriptor, sink, { signal }),
          )
          assert.equal(sink.ended, done ? 'committed' : 'aborted')
          if (done) assert.ok(sink.bytes.equals(BYTES))
        } finally {
          await registry[Symbol.asyncDispose]()
        }
      }),
      { numRuns: 40 },
    )
  })

  it('never let wrong bytes be stored', async () => {
    await fc.assert(
      fc.asyncProperty(cuts, async (plan) => {
        registry = await FakeRegistry.start()
        try {
          for (const { method, ...act } of plan) registry.script({ method, act })
          const source = new MemorySource(BYTES, 10_000)
          const done = await isDone(
            client.pushBlob(referenceTo(registry, 'app'), source, { signal }),
          )
          const { blobs } = registry.repository('app')
          if (done) assert.ok(blobs.has(source.descriptor.digest))
          for (const stored of blobs.values()) assert.ok(Buffer.from(stored).equals(BYTES))
        } finally {
          await registry[Symbol.asyncDispose]()
        }
      }),
      { numRuns: 40 },
    )
  })
})
