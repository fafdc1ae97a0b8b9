import { kernel } from '../native/kernel.ts'
import { openStore } from '../store/store.ts'

/** A process that opens the state root named by its argument, prints its lease's directory and waits to be killed. */
const [path] = process.argv.slice(2)
if (path === undefined) throw new Error('usage: lease-child <state root>')
const store = await openStore({ path, kernel }, new AbortController().signal)
process.stdout.write(`${store.lease.directory}\n`)
setInterval(() => undefined, 1 << 30)
