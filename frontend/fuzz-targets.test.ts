import { FUZZ_TARGETS } from './testing/fuzz-targets.ts'

describe('whatever text the frontend is given', function () {
  this.timeout(30_000)

  for (const { name, run } of FUZZ_TARGETS) {
    it(`is read or refused, in time: ${name}`, async () => {
      await run(1, 200)
    })
  }
})
