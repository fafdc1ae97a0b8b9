import assert from 'node:assert/strict'
import { type DiffId, type Digest, digestOf } from '../../registry-client/oci/index.ts'
import { CacheJournal } from '../cache/journal.ts'
import {
  diffIdOf,
  layersOf,
  memoryRecords,
  STEP_INPUTS as inputs,
} from '../cache/testing/memory-cache.ts'
import type { BuildEvent } from '../events.ts'
import type { KeyInputs } from '../solver/cache-key.ts'
import { GrowingBlob } from '../solver/growing-blob.ts'
import { StepReporter } from '../solver/steps.ts'
import { type CacheableStep, StepCache } from './cached-step.ts'

const signal = new AbortController().signal
const blob = new GrowingBlob('/blob', { compression: 'gzip', level: undefined })
const unpackedLayer = { directory: undefined, changes: { page: async () => undefined }, blob }

interface World {
  readonly cache: () => StepCache
  readonly events: BuildEvent[]
  readonly present: Set<DiffId>
  readonly background: Promise<unknown>[]
  onLock?: (() => Promise<void>) | undefined
  locksHeld: number
}

/** A cache over tables in memory, whose layers are those in `present`. */
function makeCache(): World {
  const records = memoryRecords()
  const events: BuildEvent[] = []
  const present = new Set<DiffId>()
  const background: Promise<unknown>[] = []
  const state: World = {
    cache: () =>
      new StepCache({
        records,
        layers: layersOf(present),
        locks: {
          acquire: async () => {
            await state.onLock?.()
            state.locksHeld += 1
            return {
              path: '',
              [Symbol.asyncDispose]: async () => {
                state.locksHeld -= 1
              },
            }
          },
        },
        steps: new StepReporter(
          (event) => events.push(event),
          () => 0,
        ),
        background: (work) => void background.push(work),
        remote: undefined,
        allowsNamesOnly: false,
        journal: new CacheJournal(),
      }),
    events,
    present,
    background,
    locksHeld: 0,
  }
  return state
}

function makeStep(
  world: { readonly present: Set<DiffId> },
  changes: Partial<CacheableStep> = {},
): CacheableStep & { readonly executions: () => number } {
  let executions = 0
  const position: Digest = digestOf('position')
  return {
    title: '[1/1] WORKDIR /a',
    definition: digestOf('definition'),
    position,
    ignoreCache: false,
    inputs,
    finalInputs: async () => inputs,
    execute: async () => {
      executions += 1
      const diffId = diffIdOf(`layer ${executions}`)
      world.present.add(diffId)
      return {
        unpacked: undefined,
        packing: Promise.resolve({ diffId, createdAt: '2025-01-01T00:00:00Z' }),
      }
    },
    executions: () => executions,
    ...changes,
  }
}

function outcomes(events: readonly BuildEvent[]): string[] {
  return events.flatMap((event) => (event.type === 'step-ended' ? [event.outcome] : []))
}

describe('StepCache', () => {
  it('executes a step once and finds its record the next time', async () => {
    const world = makeCache()
    const step = makeStep(world)
    const first = await world.cache().run(step, signal)
    const second = await world.cache().run(step, signal)
    assert.equal(step.executions(), 1)
    assert.equal(second.packed?.diffId, first.packed?.diffId)
    assert.equal(second.packed?.createdAt, '2025-01-01T00:00:00Z')
    assert.deepEqual(outcomes(world.events), ['done', 'cached'])
    assert.equal(world.locksHeld, 0)
  })

  it('finds a step with another SOURCE_DATE_EPOCH when nothing in its layer has that time', async () => {
    for (const isTimeless of [true, false]) {
      const world = makeCache()
      const withEpoch = (epochSec: number | undefined) => {
        const own: KeyInputs = { ...inputs, epochSec }
        const step = makeStep(world, { inputs: own, finalInputs: async () => own })
        return {
          ...step,
          execute: async () => ({
            ...(await step.execute(new StepReporter(() => {}).start(''), signal)),
            isTimeless,
          }),
        }
      }
      const executed: boolean[] = []
      for (const epochSec of [1, 2, undefined, 2]) {
        const step = withEpoch(epochSec)
        await world.cache().run(step, signal)
        executed.push(step.executions() > 0)
      }
      assert.deepEqual(executed, [true, !isTimeless, !isTimeless, false])
    }
  })

  it('counts a record whose layer is gone as a miss', async () => {
    const world = makeCache()
    const step = makeStep(world)
    await world.cache().run(step, signal)
    world.present.clear()
    await world.cache().run(step, signal)
    assert.equal(step.executions(), 2)
  })

  it('looks again after it waited for another process that did the same step', async () => {
    const world = makeCache()
    const step = makeStep(world)
    const other = makeStep(world)
    world.onLock = async () => {
      world.onLock = undefined
      await world.cache().run(other, signal)
    }
    await world.cache().run(step, signal)
    assert.equal(other.executions(), 1)
    assert.equal(step.executions(), 0)
    assert.equal(world.locksHeld, 0)
  })

  it('does not ask the cache when it must not, but writes what it made', async () => {
    const world = makeCache()
    const step = makeStep(world)
    await world.cache().run(step, signal)
    const again = makeStep(world, { ignoreCache: true })
    await world.cache().run(again, signal)
    assert.equal(again.executions(), 1)
    await world.cache().run(step, signal)
    assert.equal(step.executions(), 1)
  })

  it('gives the layer of a RUN before it is packed, and its record under the key of what lies below', async () => {
    const world = makeCache()
    let finishPacking = (): void => undefined
    const diffId = diffIdOf('run')
    const packing = new Promise<{ diffId: DiffId; createdAt: string }>((done) => {
      finishPacking = () => done({ diffId, createdAt: '2025-01-01T00:00:00Z' })
    })
    const step = makeStep(world, {
      inputs: undefined,
      execute: async () => ({
        unpacked: { ...unpackedLayer, directory: { path: '/layer' } },
        packing,
      }),
    })
    const layer = await world.cache().run(step, signal)
    assert.equal(layer.packed, undefined)
    assert.equal(world.locksHeld, 1)
    world.present.add(diffId)
    finishPacking()
    await Promise.all(world.background)
    assert.equal(world.locksHeld, 0)
    const hit = await world.cache().run(makeStep(world), signal)
    assert.equal(hit.packed?.diffId, diffId)
  })

  it('shows a step as running until what it is still at has ended', async () => {
    for (const failure of [undefined, new Error('no space left')]) {
      const world = makeCache()
      let end = (): void => undefined
      const packing = new Promise<{ diffId: DiffId; createdAt: string }>((resolve, reject) => {
        end = () =>
          failure === undefined
            ? resolve({ diffId: diffIdOf('copy'), createdAt: '2025-01-01T00:00:00Z' })
            : reject(failure)
      })
      const execute = async () => ({ unpacked: unpackedLayer, packing, unfinished: packing })
      await world.cache().run(makeStep(world, { execute }), signal)
      assert.deepEqual(outcomes(world.events), [])
      end()
      await Promise.allSettled(world.background)
      assert.deepEqual(outcomes(world.events), [failure === undefined ? 'done' : 'failed'])
    }
  })

  it('tells which layer is likely: what the same files gave last time, over whatever', async () => {
    const world = makeCache()
    const likely = async (path: string, parent: string): Promise<DiffId | undefined> => {
      const packed = { diffId: diffIdOf(`${path} ${parent}`), createdAt: '2025-01-01T00:00:00Z' }
      let finishPacking = (): void => undefined
      const packing = new Promise<typeof packed>((done) => {
        finishPacking = () => done(packed)
      })
      const over = async (below: string): Promise<KeyInputs> => ({ ...inputs, path, parent: below })
      const step = makeStep(world, {
        inputs: undefined,
        inputsOver: over,
        finalInputs: () => over(parent),
        execute: async () => ({ unpacked: unpackedLayer, packing }),
      })
      const layer = await world.cache().run(step, signal)
      const found = await layer.beingPacked?.likely()
      finishPacking()
      await Promise.all(world.background)
      return found
    }
    assert.equal(await likely('/a', 'one'), undefined)
    assert.equal(await likely('/a', 'two'), diffIdOf('/a one'))
    assert.equal(await likely('/b', 'two'), undefined)
  })

  it('leaves no record of a failed step and gives the lock back', async () => {
    const world = makeCache()
    const failing = makeStep(world, {
      execute: async () => {
        throw new Error('exit code: 1')
      },
    })
    await assert.rejects(world.cache().run(failing, signal), /exit code: 1/)
    assert.equal(world.locksHeld, 0)
    const step = makeStep(world)
    await world.cache().run(step, signal)
    assert.equal(step.executions(), 1)
    assert.deepEqual(outcomes(world.events), ['failed', 'done'])
  })

  it('says what changed since the step that was last at its place', async () => {
    const world = makeCache()
    await world.cache().run(makeStep(world), signal)
    const moved = { ...inputs, path: '/b' }
    await world
      .cache()
      .run(makeStep(world, { inputs: moved, finalInputs: async () => moved }), signal)
    const logs = world.events.flatMap((event) => (event.type === 'step-log' ? [event.text] : []))
    assert.deepEqual(logs, ['not cached: the directory changed from "/a" to "/b"\n'])
  })
})
