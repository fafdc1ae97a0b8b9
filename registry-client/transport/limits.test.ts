import assert from 'node:assert/strict'
import { RegistryError } from '../errors.ts'
import { localPlatform } from '../oci/index.ts'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import {
  noise,
  RecordingSink,
  referenceTo,
  rejectsWith,
  testClient,
} from '../testing/test-client.ts'
import { TrickleGuard } from './limits.ts'
import { DEFAULT_TIMEOUTS } from './request.ts'

const signal = new AbortController().signal

describe('TrickleGuard', () => {
  it('ends a body that trickles, and no other', () => {
    const guard = new TrickleGuard('h', 0)
    guard.arrived(TrickleGuard.windowBytesMin, 59_000)
    guard.arrived(1, 61_000)
    guard.arrived(1, 62_000)
    assert.throws(
      () => guard.arrived(1, 121_001),
      (error) =>
        error instanceof RegistryError &&
        error.code === 'timeout' &&
        error.isTemporary &&
        /h sent only 2 bytes in 60 s/.test(error.message),
    )
  })

  it('ends a download that trickles', async () => {
    await using registry = await FakeRegistry.start()
    const clock = new ManualClock()
    await using client = testClient({ clock })
    const descriptor = registry.repository('app').addBlob(noise(100))
    const sink = new RecordingSink()
    const now = clock.now.bind(clock)
    clock.now = () => {
      clock.nowMs += 61_000
      return now()
    }
    const work = client.fetchBlob(referenceTo(registry, 'app'), descriptor, sink, { signal })
    await rejectsWith(work, 'timeout', /sent only 100 bytes in 60 s \(tried 4 times\)/)
    assert.equal(sink.ended, 'aborted')
  })
})

describe('timeouts', () => {
  const timeouts = { ...DEFAULT_TIMEOUTS, answerMs: 40 }
  const retryPolicy = { triesMax: 1, delayMsFirst: 1, delayMsMax: 1, retryAfterMsMax: 1 }

  it('end requests that are never answered', async () => {
    await using registry = await FakeRegistry.start()
    await using client = testClient({ timeouts, retryPolicy })
    registry.script({ act: { kind: 'hang' } })
    const reference = referenceTo(registry, 'app:v1')
    const resolved = client.resolve(reference, { platform: localPlatform(), signal })
    await rejectsWith(resolved, 'timeout', /127\.0\.0\.1:\d+: no answer in time/)
  })
})
