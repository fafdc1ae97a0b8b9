import assert from 'node:assert/strict'
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { kernel, openStore } from '../../snapshotter/index.ts'
import { temporaryDirectory } from '../../snapshotter/testing/temporary-directory.ts'
import { FailedSteps } from './failed-steps.ts'

const never = new AbortController().signal

describe('FailedSteps', () => {
  it('are garbage where the disk does not give what is known of one', async () => {
    await using place = await temporaryDirectory()
    const root = join(place.path, 'root')
    await using store = await openStore({ path: root, kernel }, never)
    const kept = join(root, 'failed/01234567')
    await mkdir(kept, { recursive: true })
    // There is no memory at address 0, so reading it gives EIO.
    await symlink(`/proc/${process.pid}/mem`, join(kept, 'step.json'))
    const steps = new FailedSteps(store)
    assert.deepEqual(await steps.list(), [{ id: '01234567', path: kept, step: undefined }])
    assert.equal((await steps.expire()).length, 1)
    assert.deepEqual(await steps.list(), [])
  })
})
