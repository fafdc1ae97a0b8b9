import { startWorker } from '../start-worker.ts'
import { labRequest, labStore, makeBusyboxLayer } from './sandbox-lab.ts'

/** Run by random-kills.test.ts to be killed: `kill-script.js DIRECTORY MARK` runs and commits one step after the other. */
const [directory = '', mark = ''] = process.argv.slice(2)
const never = new AbortController().signal
const base = { path: `${directory}/base` }
await makeBusyboxLayer(base)
const worker = await startWorker({ store: await labStore(directory) }, never)
process.stdout.write('ready\n')
for (let count = 0; ; count++) {
  const script = `(setsid sleep ${mark} &) ; sleep 0.01; mkdir /d; echo > /d/f`
  const request = {
    ...labRequest(script, [base]),
    network: 'default' as const,
    commitTo: `${directory}/layer-${count}`,
  }
  await worker.run(request, () => undefined, never)
}
