import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { requires } from '../../snapshotter/testing/requires.ts'
import { allDead, processesBelow } from './testing/processes.ts'

const SCRIPT = join(import.meta.dirname, 'testing/inherited-script.js')

describe('a step with the stdin and stdout of its caller', () => {
  requires('root', 'overlay')
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-stdio-'))
  })
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true })
  })

  function start(
    stdio: 'inherited',
    script: string,
  ): ChildProcess & {
    stdin: NodeJS.WritableStream
    stdout: NodeJS.ReadableStream
    stderr: NodeJS.ReadableStream
  } {
    return spawn(process.execPath, [SCRIPT, directory, stdio, script], { stdio: 'pipe' })
  }

  it('reads and writes them as they are, and passes its status on', async () => {
    const child = start('inherited', 'cat; echo err >&2; exit 7')
    const status = new Promise((resolve) => child.once('close', resolve))
    child.stdin.end('one\ntwo\n')
    assert.deepEqual(await Promise.all([text(child.stdout), text(child.stderr)]), [
      'one\ntwo\n',
      'err\n',
    ])
    assert.equal(await status, 7)
  })

  it('leaves no process behind when the caller is killed', async () => {
    const child = start(
      'inherited',
      'trap "" TERM HUP INT; (setsid sleep 1000 &); sleep 1000 & echo started; sleep 1000',
    )
    let below: number[] = []
    // The processes of the step and the worker hold this pipe, so its end is the end of all of them.
    for await (const chunk of child.stdout) {
      assert.equal(String(chunk), 'started\n')
      below = processesBelow(child.pid ?? 0).map(({ pid }) => pid)
      assert.ok(below.length >= 7, String(below))
      child.kill('SIGKILL')
    }
    await allDead(below)
  })

  it('has a terminal of its own when the caller has one', async function () {
    const isRequired = process.env['TSBUILD_MUST_WORK'] === '1'
    if (!isRequired && !existsSync('/usr/bin/script')) this.skip()
    const step =
      'tty; [ -t 0 ] && [ -t 1 ] && stty size; echo $TERM; read line; echo got $line; kill -INT 0; echo not killed'
    const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`
    const command = [process.execPath, SCRIPT, directory, 'terminal', step].map(quote).join(' ')
    const child = spawn('script', ['-qec', `stty rows 33 cols 77; ${command}`, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TERM: 'dumb' },
    })
    const status = new Promise((resolve) => child.once('close', resolve))
    let printed = ''
    for await (const chunk of child.stdout) {
      const before = printed
      printed += String(chunk)
      if (!before.includes('xterm') && printed.includes('xterm')) child.stdin.write('typed\n')
    }
    child.stdin.end()
    await status
    assert.match(printed, /\/dev\/pts\/0\r\n33 77\r\nxterm\r\n/)
    assert.match(printed, /got typed\r\n/)
  })
})
