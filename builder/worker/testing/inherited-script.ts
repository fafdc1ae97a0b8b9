import { startWorker } from '../start-worker.ts'
import { labRequest, labStore, makeBusyboxLayer } from './sandbox-lab.ts'

/**
 * Run by stdio.test.ts: `inherited-script.js DIRECTORY inherited|terminal SCRIPT` runs the shell script in a
 * sandbox that has this process's own stdin, stdout and stderr, and ends with its status.
 */
const [directory = '', stdio = '', script = ''] = process.argv.slice(2)
if (stdio !== 'inherited' && stdio !== 'terminal') throw new TypeError(`unknown stdio ${stdio}`)
const never = new AbortController().signal
const base = { path: `${directory}/base` }
await makeBusyboxLayer(base)
const worker = await startWorker({ store: await labStore(directory) }, never)
const { exitCode } = await worker.run(
  { ...labRequest(script, [base]), stdio },
  () => undefined,
  never,
)
await worker[Symbol.asyncDispose]()
process.exitCode = exitCode
