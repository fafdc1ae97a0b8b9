import { FUZZ_TARGETS } from './testing/fuzz-targets.ts'

describe('whatever patterns a build is given', function () {
  this.timeout(30_000)

  for (const { name, run } of FUZZ_TARGETS) {
    it(`are matched or refused, in time: ${name}`, async () => {
      await run(1, 500)
    })
  }
})
