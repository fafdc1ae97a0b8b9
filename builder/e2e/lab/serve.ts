/** Serves the lab's registry until stdin ends; prints its address. For the conformance runner and for trying things by hand. */
import { startLabRegistry } from './registry.ts'

await using registry = await startLabRegistry()
process.stdout.write(`${registry.host}\n`)
for await (const _chunk of process.stdin) {
  // Nothing is read: the end of the input is the signal.
}
