/** Run before the tests, once per machine: makes the base images that they build on. */
import { makeBases } from './bases.ts'

await makeBases((line) => {
  process.stderr.write(`${line}\n`)
})
