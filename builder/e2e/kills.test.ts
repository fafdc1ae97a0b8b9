import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { requires } from '../../snapshotter/testing/requires.ts'
import { Lab } from './lab/lab.ts'
import { processesNaming } from '../worker/testing/processes.ts'
import { EVERY_PLACE, placeRoot, runIn } from './lab/places.ts'
import { labRegistry } from './lab/registry.ts'

/** 200 in each place take a quarter of an hour: `TSBUILD_TEST_KILLS=200`. */
const KILLS = Number(process.env['TSBUILD_TEST_KILLS'] ?? 6)
const SIGNALS = ['SIGKILL', 'SIGTERM', 'SIGINT'] as const
const DEATH_MS_MAX = 5000

async function assertAllGone(word: string, when: string): Promise<void> {
  const until = Date.now() + DEATH_MS_MAX
  while (processesNaming(word).length > 0 && Date.now() < until) await delay(10)
  assert.deepEqual(processesNaming(word), [], when)
  assert.doesNotMatch(await readFile('/proc/self/mounts', 'utf8'), new RegExp(word), when)
}

describe('a build that is killed at any moment', function () {
  this.timeout(120_000 + KILLS * 15_000)
  requires('root', 'overlay', 'userns')

  for (const [who, place] of EVERY_PLACE) {
    it(`leaves no process, no mount and no garbage of ${who}`, async () => {
      await using lab = await Lab.open()
      const { host } = await labRegistry()
      // The path of the lab is in the environment of every process, but of steps: these sleep for a time of their own.
      const nap = `86400.${process.pid}`
      const step = `RUN --mount=type=cache,target=/c (setsid sleep ${nap} &); echo $$ > /c/f; cp /bin/busybox /b`
      const context = await lab.context({
        Dockerfile: [`FROM ${host}/library/busybox`, 'ARG N', step, `${step}1`, `${step}2`].join(
          '\n',
        ),
      })
      const args = (n: string): string[] => ['build', '--build-arg', `N=${n}`, '-t', 'k', context]
      const began = Date.now()
      const whole = await runIn(lab, place, args('first'))
      const lifeMs = Date.now() - began
      assert.equal(whole.status, 0, whole.text)
      for (let round = 0; round < KILLS; round++) {
        const name = SIGNALS[round % SIGNALS.length] ?? 'SIGKILL'
        // Chance is the point: whatever moment it is, it is printed with a failure.
        const ms = Math.random() * lifeMs
        const { text } = await runIn(lab, place, args(`${round}`), { signalAfter: { ms, name } })
        const when = `${name} after ${ms} of ${lifeMs} ms\n${text}`
        await assertAllGone(lab.dir, when)
        await assertAllGone(nap, when)
      }
      const again = await runIn(lab, place, args('last'))
      assert.equal(again.status, 0, again.text)
      // The lock of a cache mount is there as long as the mount is.
      const left = await lab.unfinished(placeRoot(lab))
      assert.deepEqual(
        left.filter((path) => !/\/locks\/mount-/.test(path)),
        [],
      )
    })
  }
})
