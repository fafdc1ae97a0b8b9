import { readHostFacts } from '../../sandbox/host-facts.ts'
import { readContents } from '../../../snapshotter/index.ts'
import { SandboxLab } from './sandbox-lab.ts'

/**
 * Run as an ordinary user by single-id.test.ts: `single-id-script.js USER SCRIPT` runs the script as USER where there
 * is a single id, commits, and prints as JSON what it printed and which entries its layer has, without those of mount points.
 */
const never = new AbortController().signal
const [user = '', script = ''] = process.argv.slice(2)
const lacking = { hasSysAdmin: false, ownIds: undefined, newuidmap: undefined } as const
const lab = await SandboxLab.open({ ...readHostFacts(), ...lacking })
const first = { path: lab.path() }
const made = await lab.run(script, { user, commitTo: first.path })
const packed = { output: lab.path(), contents: lab.path() }
const entries: string[] = []
if (made.diff !== undefined) {
  const result = await lab.worker.packRun(
    {
      ...packed,
      diff: made.diff,
      parentContents: [],
      compression: 'gzip',
      level: undefined,
    },
    never,
  )
  for await (const batch of readContents(packed.contents)) {
    for (const entry of batch) {
      if (/^(bin|dev|mnt|proc|sys)(\/|$)/.test(entry.path)) continue
      const owner = 'uid' in entry ? ` ${entry.uid}:${entry.gid} ${entry.mode.toString(8)}` : ''
      const device = 'major' in entry ? ` ${entry.major},${entry.minor}` : ''
      entries.push(`${entry.type} ${entry.path}${owner}${device}`)
    }
  }
  const unpacked = { path: lab.path() }
  await lab.worker.unpackLayer(
    {
      blob: packed.output,
      compression: 'auto',
      expect: { diffId: result.diffId, digest: result.digest },
      directory: unpacked.path,
      contents: lab.path(),
    },
    never,
  )
  const again = await lab.run('cd /w && find . -exec stat -c "%n %u:%g %F" {} +', {
    layers: [lab.base, unpacked],
  })
  entries.push(
    ...again.stdout
      .split('\n')
      .filter((line) => line !== '')
      .sort(),
  )
  await lab.worker.removeTrees([first.path, unpacked.path], never)
}
const { rung, driver, notice } = lab.worker.info
await lab[Symbol.asyncDispose]()
console.log(JSON.stringify({ rung, driver, notice, made, entries }))
