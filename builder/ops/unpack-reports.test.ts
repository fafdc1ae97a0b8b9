import assert from 'node:assert/strict'
import { digestOf } from '../../registry-client/oci/index.ts'
import type { LayerBlob } from '../../snapshotter/index.ts'
import type { BuildEvent } from '../events.ts'
import type { BuildLayer } from '../solver/layer.ts'
import { StepReporter } from '../solver/steps.ts'
import { UnpackReports } from './unpack-reports.ts'

const BASE = { title: 'debian:bookworm', remote: {} } as Pick<BuildLayer, 'title' | 'remote'>

function blobOf(name: string, sizeBytes: number): LayerBlob {
  return { digest: digestOf(name), sizeBytes, compression: 'gzip', engine: undefined }
}

/** What was told, each event in a few words. */
function recorded(work: (reports: UnpackReports) => void): string[] {
  const told: string[] = []
  const sink = (event: BuildEvent): void => {
    if (event.type === 'step-started') told.push(event.title)
    else if (event.type === 'step-progress')
      told.push(`${event.part.slice(0, 21)} ${event.currentBytes}${event.isDone ? ' done' : ''}`)
    else if (event.type === 'step-ended') told.push(`${event.outcome} ${event.error ?? ''}`.trim())
  }
  work(new UnpackReports(new StepReporter(sink)))
  return told
}

describe('the display of unpacking', () => {
  it('is one step for the layers of an image, until the last is done', () => {
    const [a, b] = [blobOf('a', 100), blobOf('b', 200)]
    const [first, second] = [a, b].map(({ digest }) => `extracting ${digest}`.slice(0, 21))
    const told = recorded((reports) => {
      const one = reports.begin(BASE, a)
      const two = reports.begin(BASE, b)
      one.moved(50)
      one.end('done')
      // The kernel reads ahead to the end of the file, and what is told is never more than there is.
      two.moved(300)
      two.end('done')
    })
    assert.deepEqual(told, [
      'unpacking debian:bookworm',
      `${first} 0`,
      `${second} 0`,
      `${first} 50`,
      `${first} 100 done`,
      `${second} 200`,
      `${second} 200 done`,
      'done',
    ])
  })

  it('says why it failed', () => {
    const told = recorded((reports) =>
      reports.begin(BASE, blobOf('a', 100)).end('failed', new Error('no tar')),
    )
    assert.equal(told.at(-1), 'failed no tar')
  })

  it('leaves out small layers of our own', () => {
    const own = { title: 'COPY a /', remote: undefined }
    assert.deepEqual(
      recorded((reports) => reports.begin(own, blobOf('a', 100)).end('done')),
      [],
    )
    assert.equal(recorded((reports) => reports.begin(own, blobOf('a', 2e6)).end('done')).length, 4)
  })
})
