/** Run before the tests, once per machine: makes the base images and fetches the programs that they need. */
import { fetchPrograms } from '../../../registry-client/testing/fetch-programs.ts'
import { CRANE, ORAS } from '../../../registry-client/testing/program.ts'
import { makeBases } from './bases.ts'

const log = (line: string): void => {
  process.stderr.write(`${line}\n`)
}
await makeBases(log)
await fetchPrograms([CRANE, ORAS], log)
