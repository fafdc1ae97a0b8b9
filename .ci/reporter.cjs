// Mocha reporter for logs: one line a failing, skipped or slow test, the failures in full, and a closing line
// `N passed, N failed, N skipped`.
const { reporters } = require('mocha')

module.exports = class LogReporter extends reporters.Base {
  constructor(runner, options) {
    super(runner, options)
    let skipped = 0
    runner.on('pass', (test) => {
      if (test.duration > 5000) console.log(`slow ${(test.duration / 1000).toFixed(1)} s  ${test.fullTitle()}`)
    })
    runner.on('pending', (test) => {
      skipped++
      console.log(`skipped  ${test.fullTitle()}${test.skipReason ? `: ${test.skipReason}` : ''}`)
    })
    runner.on('fail', (test) => console.log(`FAILED  ${test.fullTitle()}`))
    runner.once('end', () => {
      if (this.failures.length > 0) reporters.Base.list(this.failures)
      const { passes, failures, duration } = this.stats
      console.log(`tests took ${(duration / 1000).toFixed(0)} s`)
      console.log(`${passes} passed, ${failures} failed, ${skipped} skipped`)
    })
  }
}
