import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'

const SHOW_CURSOR = '\x1b[?25h'
const HIDE_CURSOR = '\x1b[?25l'
/** A view of one step that goes on. */
const PROGRAM = `
const { TtyPrinter } = await import(${JSON.stringify(new URL('tty.js', import.meta.url).href)})
const printer = new TtyPrinter(process.stdout, {}, { activity: 'Building', isDebug: false })
printer.handle({ type: 'step-started', atMs: 0, step: 1, title: 'RUN sleep' })
setInterval(() => {}, 1000)
`

describe('the live view', () => {
  let child: ChildProcessByStdio<null, Readable, null>
  let text = ''

  beforeEach(() => {
    text = ''
    const args = ['--input-type=module', '-e', PROGRAM]
    child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    child.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()))
  })

  afterEach(() => {
    child.kill('SIGKILL')
  })

  /** Waits until what was written passes the test; a process that ends fails it. */
  async function written(passes: () => boolean): Promise<void> {
    while (!passes()) {
      await Promise.race([
        once(child.stdout, 'data'),
        once(child, 'exit').then(() => assert.fail(`the process ended: ${JSON.stringify(text)}`)),
      ])
    }
  }

  it('gives the cursor back while it is suspended, and begins below afterwards', async () => {
    await written(() => text.includes('RUN sleep'))
    child.kill('SIGTSTP')
    await written(() => text.endsWith(SHOW_CURSOR))
    // A process that has not stopped yet is not to be continued.
    while (!/\) T /.test(await readFile(`/proc/${child.pid}/stat`, 'utf8')));
    const before = text.length
    child.kill('SIGCONT')
    await written(() => text.indexOf('RUN sleep', before) >= 0)
    const after = text.slice(before)
    assert.ok(after.startsWith(HIDE_CURSOR), JSON.stringify(after))
    const region = after.slice(0, after.indexOf('RUN sleep'))
    assert.doesNotMatch(region, /\x1b\[\d+A/, 'it would draw over what the shell has written')
  })
})
