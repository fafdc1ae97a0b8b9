import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { RegistryClient } from './client.ts'
import { RegistryError } from './errors.ts'
import { CuttingProxy } from './testing/cutting-proxy.ts'
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
/** More by hand: each run breaks up to 8 connections. */
const RUNS = Number(process.env['TSBUILD_CUT_RUNS'] ?? 20)

/** Where connections break: in which requests, after how many bytes of which side. */
const cuts = fc.array(
  fc.record({
    kind: fc.constantFrom('cut-answer' as const, 'cut-request' as const),
    afterBytes: fc.integer({ min: 0, max: SIZE }),
    method: fc.constantFrom('GET', 'PUT', 'PATCH', 'POST', 'HEAD'),
  }),
  { maxLength: 8 },
)

/** At any byte of the connection, headers too. */
const connectionCuts = fc.array(
  fc.record({
    side: fc.constantFrom('request' as const, 'answer' as const),
    afterBytes: fc.oneof(fc.nat({ max: 1000 }), fc.nat({ max: SIZE + 1000 })),
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
      { numRuns: RUNS },
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
      { numRuns: RUNS },
    )
  })

  it('break in headers as well as in bodies, and leave a right result or an error', async () => {
    await fc.assert(
      fc.asyncProperty(connectionCuts, connectionCuts, async (onPush, onPull) => {
        registry = await FakeRegistry.start()
        const proxy = await CuttingProxy.start(registry.host)
        const own = testClient()
        try {
          const source = new MemorySource(BYTES, 10_000)
          proxy.cuts.push(...onPush)
          await isDone(own.pushBlob(referenceTo(proxy, 'app'), source, { signal }))
          const { blobs } = registry.repository('app')
          for (const stored of blobs.values()) assert.ok(Buffer.from(stored).equals(BYTES))
          registry.repository('app').addBlob(BYTES)
          proxy.cuts.push(...onPull)
          const sink = new RecordingSink()
          const reference = referenceTo(proxy, 'app')
          const done = await isDone(own.fetchBlob(reference, source.descriptor, sink, { signal }))
          assert.equal(sink.ended, done ? 'committed' : 'aborted')
          if (done) assert.ok(sink.bytes.equals(BYTES))
        } finally {
          await own[Symbol.asyncDispose]()
          await proxy[Symbol.asyncDispose]()
          await registry[Symbol.asyncDispose]()
        }
      }),
      { numRuns: RUNS },
    )
  })
})
