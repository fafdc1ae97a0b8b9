import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readContents } from '../../../snapshotter/index.ts'
import { SandboxLab } from './sandbox-lab.ts'

/**
 * Run as an ordinary user by rootless.test.ts: does what a build does with a worker and prints what it saw as JSON.
 */
const never = new AbortController().signal
const lab = await SandboxLab.open()
const { rung, driver } = lab.worker.info

const first = { path: lab.path() }
const script =
  'id -u; mkdir /d; echo 1 > /d/f; chown 1000:1001 /d/f; chown 33:33 /d; rm /bin/vi; rm -r /mnt; mkdir /mnt; cat /proc/self/uid_map | wc -l'
const made = await lab.run(script, { commitTo: first.path })
const packed = { output: lab.path(), contents: lab.path() }
const pack = {
  ...packed,
  diff: made.diff ?? '',
  parentContents: [],
  compression: 'gzip',
  level: undefined,
} as const
const result = await lab.worker.packRun(pack, never)
const entries: string[] = []
for await (const batch of readContents(packed.contents)) {
  for (const entry of batch)
    entries.push(
      'uid' in entry
        ? `${entry.type} ${entry.path} ${entry.uid}:${entry.gid}`
        : `${entry.type} ${entry.path}`,
    )
}

const unpacked = { path: lab.path() }
const expect = { diffId: result.diffId, digest: result.digest }
await lab.worker.unpackLayer(
  {
    blob: packed.output,
    compression: 'auto',
    expect,
    directory: unpacked.path,
    contents: lab.path(),
  },
  never,
)
const again = await lab.run('stat -c "%u:%g" /d /d/f; ls /bin/vi /mnt; true', {
  layers: [lab.base, unpacked],
})
const asUser = await lab.run(
  'id -u; id -G; grep CapBnd /proc/self/status; cat /proc/sys/kernel/random/boot_id | wc -l; ls -d /sys/class /dev/pts/ptmx',
  { user: 'app' },
)
const outerUid = (await stat(join(first.path, 'fs/d/f'))).uid
await lab.worker.removeTrees([first.path, unpacked.path], never)
const isRemoved = !(await readdir(lab.directory)).includes(
  first.path.slice(lab.directory.length + 1),
)
await lab[Symbol.asyncDispose]()
const ownUid = process.getuid?.()
const ranges = await readFile('/etc/subuid', 'utf8')
console.log(
  JSON.stringify({
    rung,
    driver,
    made,
    entries,
    again,
    asUser,
    outerUid,
    ownUid,
    ranges,
    isRemoved,
  }),
)
