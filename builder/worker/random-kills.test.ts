import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { requires } from '../../snapshotter/testing/requires.ts'
import { processesNaming } from './testing/processes.ts'

/** 200 take a minute and a half: `TSBUILD_TEST_KILLS=200`. */
const KILLS = Number(process.env['TSBUILD_TEST_KILLS'] ?? 20)
const LIFE_MS_MAX = 150
/** The kernel ends them with their pid namespace; on a busy machine it took the program of the network over 3 s, and once over 15. */
const DEATH_MS_MAX = 45_000

describe('tsbuild killed at any moment', function () {
  this.timeout(60_000 + KILLS * 5000)
  requires('root', 'overlay')

  it('leaves no process and no mount', async () => {
    for (let round = 0; round < KILLS; round++) {
      const directory = await mkdtemp(join(tmpdir(), 'tsbuild-kill-'))
      const mark = `86400.${process.pid}${round}`
      const script = join(import.meta.dirname, 'testing/kill-script.js')
      const child = spawn(process.execPath, [script, directory, mark], {
        stdio: ['ignore', 'pipe', 'ignore'],
        // The program that carries the steps' network knows neither directory nor mark.
        env: { ...process.env, TSBUILD_TEST_MARK: mark },
      })
      await once(child.stdout, 'data')
      // Chance is the point: whatever moment it is, it is printed with a failure.
      const lifeMs = Math.random() * LIFE_MS_MAX
      await delay(lifeMs)
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
      const until = Date.now() + DEATH_MS_MAX
      const left = (): string[] => [...processesNaming(mark), ...processesNaming(directory)]
      while (left().length > 0 && Date.now() < until) await delay(5)
      assert.deepEqual(left(), [], `killed after ${lifeMs} ms`)
      assert.ok(!(await readFile('/proc/self/mounts', 'utf8')).includes(directory))
      await rm(directory, { recursive: true, force: true })
    }
  })
})
