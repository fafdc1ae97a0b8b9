import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { requires } from '../../snapshotter/testing/requires.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

/** Command lines of all processes that name `word`. */
async function processesNaming(word: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (command.includes(word)) found.push(command.replaceAll('\0', ' '))
  }
  return found
}

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
      assert.deepEqual(await processesNaming(mark), [])
      assert.doesNotMatch(await readFile('/proc/self/mounts', 'utf8'), new RegExp(lab.dir))
      assert.deepEqual(await lab.unfinished(), [])
    })
  }

  it('that is killed leaves no process, and the next build works', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const mark = `271828${process.pid}`
    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nARG NAP\nRUN echo started; sleep $NAP\nRUN echo done > /done\n`,
    })
    const args = ['build', '--progress=plain', '-t', 'x', context]
    const killed = await lab.tsbuild([...args, '--build-arg', `NAP=${mark}`], {
      onStderr: (text, signal) => {
        if (/ started$/m.test(text)) signal('SIGKILL')
      },
    })
    assert.equal(killed.signal, 'SIGKILL')
    const deadline = Date.now() + 2000
    while ((await processesNaming(mark)).length > 0) {
      assert.ok(Date.now() < deadline, 'a process of the killed build is still there')
    }
    assert.doesNotMatch(await readFile('/proc/self/mounts', 'utf8'), new RegExp(lab.dir))
    const next = await lab.tsbuild([...args, '--build-arg', 'NAP=0'])
    assert.equal(next.status, 0, next.text)
    assert.deepEqual(await lab.unfinished(), [])
  })
})
