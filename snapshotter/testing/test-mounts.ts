import { execFile } from 'node:child_process'
import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { RootMount } from '../snapshotter.ts'

const run = promisify(execFile)

/** A snapshot's root as a directory of this process; unmounted when disposed. */
export interface MountedRoot extends AsyncDisposable {
  readonly dir: string
}

/** Mounts with mount(8), as root, what a sandbox would mount for itself. Short lists of layers only (one page of options). */
export async function mountRoot(root: RootMount): Promise<MountedRoot> {
  if (root.type === 'bind') {
    return { dir: root.dir, [Symbol.asyncDispose]: () => Promise.resolve() }
  }
  const dir = await mkdtemp(join(tmpdir(), 'tsbuild-mount-'))
  const options = [
    `lowerdir=${root.lowerDirs.join(':')}`,
    `upperdir=${root.upperDir}`,
    `workdir=${root.workDir}`,
    'index=off',
    // With userxattr the kernel has the other two off by itself and refuses to be told so.
    ...(root.userXattr ? ['userxattr'] : ['redirect_dir=off', 'metacopy=off']),
  ]
  try {
    await run('mount', ['-t', 'overlay', 'overlay', '-o', options.join(','), dir])
  } catch (error) {
    await rmdir(dir)
    throw error
  }
  return {
    dir,
    [Symbol.asyncDispose]: async () => {
      await run('umount', ['--lazy', dir])
      await rmdir(dir)
    },
  }
}
