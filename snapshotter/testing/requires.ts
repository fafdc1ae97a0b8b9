import { spawnSync } from 'node:child_process'

/** What a machine may not offer a test. */
export type Requirement = 'root' | 'userns' | 'overlay'

/**
 * Called in a `describe`: its tests run only where all of `needs` are there, else they are skipped with the reason shown.
 * With TSBUILD_MUST_WORK=1 (CI) what is missing is a failure.
 */
export function requires(...needs: readonly Requirement[]): void {
  before(function (this: Mocha.Context) {
    const reason = needs.map(missingReason).find((text) => text !== undefined)
    if (reason === undefined) return
    if (process.env['TSBUILD_MUST_WORK'] === '1')
      throw new Error(`this test must work here, but ${reason}`)
    if (this.test !== undefined) this.test.title += ` (skipped: ${reason})`
    this.skip()
  })
}

function missingReason(need: Requirement): string | undefined {
  switch (need) {
    case 'root':
      return process.getuid?.() === 0 ? undefined : 'it needs root'
    case 'userns':
      return canUnshare(['--user', '--map-root-user'])
        ? undefined
        : 'user namespaces cannot be made (see unshare --user true)'
    case 'overlay':
      return canUnshare(['--mount']) ? undefined : 'mount namespaces cannot be made'
  }
}

function canUnshare(options: readonly string[]): boolean {
  return spawnSync('unshare', [...options, 'true'], { stdio: 'ignore' }).status === 0
}
