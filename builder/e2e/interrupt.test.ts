import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { requires } from '../../snapshotter/testing/requires.ts'
import { processesNaming } from '../worker/testing/processes.ts'
import { Lab } from './lab/lab.ts'
import { EVERY_PLACE, placeRoot, runIn } from './lab/places.ts'
import { labRegistry } from './lab/registry.ts'

describe('an interrupted build', () => {
  requires('steps')

  const cases: readonly [NodeJS.Signals, number][] = [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ]
  for (const [name, status] of cases) {
    it(`ends within two seconds of ${name} and leaves no process, mount or temporary file`, async () => {
      await using lab = await Lab.open()
      const { host } = await labRegistry()
      const mark = `314159${process.pid}`
      const context = await lab.context({
        Dockerfile: `FROM ${host}/library/busybox\nRUN (sleep ${mark} &) ; echo started; sleep ${mark}\n`,
      })
      let signalledAt = 0
      const result = await lab.tsbuild(['build', '--progress=plain', '-t', 'x', context], {
        onStderr: (text, signal) => {
          if (signalledAt > 0 || !/ started$/m.test(text)) return
          signalledAt = Date.now()
          signal(name)
        },
      })
      assert.ok(signalledAt > 0, result.text)
      assert.ok(Date.now() - signalledAt < 2000, `took ${Date.now() - signalledAt} ms`)
      assert.equal(result.status, status, result.text)
      assert.deepEqual(processesNaming(mark), [])
      assert.doesNotMatch(await readFile('/proc/self/mounts', 'utf8'), new RegExp(lab.dir))
      assert.deepEqual(await lab.unfinished(), [])
    })
  }

  it('goes on after SIGHUP when it has no terminal, as nohup wants it', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nRUN echo started; sleep 1; echo ended\n`,
    })
    const result = await lab.tsbuild(['build', '--progress=plain', '-t', 'x', context], {
      onStderr: (text, signal) => {
        if (/ started$/m.test(text) && !/ ended$/m.test(text)) signal('SIGHUP')
      },
    })
    assert.equal(result.status, 0, result.text)
    assert.match(result.stderr, / ended$/m)
  })
})

describe('a build that is killed in a step', function () {
  this.timeout(120_000)
  requires('root', 'overlay', 'userns')

  for (const [who, place] of EVERY_PLACE) {
    it(`leaves no process and no mount of ${who}, and the next build works`, async () => {
      await using lab = await Lab.open()
      const { host } = await labRegistry()
      const mark = `271828${process.pid}`
      const context = await lab.context({
        Dockerfile: [
          `FROM ${host}/library/busybox`,
          'ARG NAP',
          'RUN (setsid sleep $NAP &); sleep $NAP & echo started; sleep $NAP',
          'RUN echo done > /done',
        ].join('\n'),
      })
      const args = ['build', '--progress=plain', '-t', 'x', context]
      const killed = await runIn(lab, place, [...args, '--build-arg', `NAP=${mark}`], {
        onStderr: (text, signal) => {
          if (/ started$/m.test(text)) signal('SIGKILL')
        },
      })
      assert.equal(killed.signal, 'SIGKILL')
      const deadline = Date.now() + 2000
      while (processesNaming(mark).length > 0 && Date.now() < deadline) await delay(5)
      assert.deepEqual(processesNaming(mark), [])
      assert.doesNotMatch(await readFile('/proc/self/mounts', 'utf8'), new RegExp(lab.dir))
      const next = await runIn(lab, place, [...args, '--build-arg', 'NAP=0'])
      assert.equal(next.status, 0, next.text)
      assert.deepEqual(await lab.unfinished(placeRoot(lab)), [])
    })
  }
})
