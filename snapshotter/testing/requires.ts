import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { userInfo } from 'node:os'

/** What a machine may not offer a test. */
export type Requirement = 'root' | 'userns' | 'overlay' | 'steps'

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
    case 'steps':
      return process.getuid?.() === 0 || hasSubordinateIds()
        ? undefined
        : 'steps need root, or newuidmap (Debian: uidmap) and a range in /etc/subuid'
    case 'overlay':
      return canUnshare(['--mount']) ? undefined : 'mount namespaces cannot be made'
  }
}

function canUnshare(options: readonly string[]): boolean {
  return spawnSync('unshare', [...options, 'true'], { stdio: 'ignore' }).status === 0
}

function hasSubordinateIds(): boolean {
  const { username, uid } = userInfo()
  const ranges = existsSync('/etc/subuid') ? readFileSync('/etc/subuid', 'utf8') : ''
  const isListed = ranges
    .split('\n')
    .some((line) => [username, `${uid}`].includes(line.split(':')[0] ?? ''))
  return isListed && spawnSync('newuidmap', { stdio: 'ignore' }).error === undefined
}
