import { readFile } from 'node:fs/promises'
import { mustRun, runCommand } from './cli.ts'

/** An ordinary user with subordinate ids, for rootless tests; made once per machine (needs root and `uidmap`). */
export interface OrdinaryUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

const NAME = 'tsbuild-test'

/** Finds or makes the user with `useradd -m`, which gives it ranges in /etc/subuid and /etc/subgid. */
export async function ordinaryUser(): Promise<OrdinaryUser> {
  const known = await lookup()
  if (known !== undefined) return known
  await mustRun('useradd', ['-m', '-s', '/bin/sh', NAME])
  const made = await lookup()
  if (made === undefined) throw new Error(`useradd made no user ${NAME}`)
  const subuid = await readFile('/etc/subuid', 'utf8')
  if (!subuid.includes(`${NAME}:`)) {
    await runCommand('usermod', [
      '--add-subuids',
      '300000-365535',
      '--add-subgids',
      '300000-365535',
      NAME,
    ])
  }
  return made
}

async function lookup(): Promise<OrdinaryUser | undefined> {
  for (const line of (await readFile('/etc/passwd', 'utf8')).split('\n')) {
    const [name, , uid, gid, , home] = line.split(':')
    if (name === NAME && home !== undefined)
      return { name, uid: Number(uid), gid: Number(gid), home }
  }
  return undefined
}
