import assert from 'node:assert/strict'
import { requires } from '../../snapshotter/testing/requires.ts'
import { readHostFacts } from '../sandbox/host-facts.ts'
import { startWorker } from './start-worker.ts'
import { labStore, SandboxLab } from './testing/sandbox-lab.ts'

describe('the worker of container root that may make namespaces but not mount', function () {
  this.timeout(30_000)
  requires('root', 'userns')

  it('has all its ids in a user namespace, without helpers', async () => {
    const facts = { ...readHostFacts(), hasSysAdmin: false, newuidmap: undefined }
    await using lab = await SandboxLab.open(facts)
    assert.deepEqual([lab.worker.info.rung, lab.worker.info.driver], ['userns-subids', 'overlay'])
    const { stdout } = await lab.run(
      'touch /f; chown 1000:2000 /f; stat -c %u:%g /f; su app -c "id -u; id -G"; cat /proc/self/uid_map',
    )
    assert.match(stdout, /^1000:2000\n1000\n1001 10 29\n\s+0\s+0\s+\d+\n$/)
  })

  it('refuses a state root that was begun with another kind of owners', async () => {
    const facts = { ...readHostFacts(), hasSysAdmin: false, newuidmap: undefined }
    await using lab = await SandboxLab.open(facts)
    const store = await labStore(lab.directory)
    const starting = startWorker(
      { store, facts: { ...facts, ownIds: undefined } },
      new AbortController().signal,
    )
    await assert.rejects(starting, {
      code: 'sandbox-unavailable',
      message: /holds layers of another kind: their owners are real ids.*another --root/,
    })
  })
})
