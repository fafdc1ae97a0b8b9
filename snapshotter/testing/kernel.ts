import { spawnSync } from 'node:child_process'
import { rm } from 'node:fs/promises'
import type { Kernel } from '../native/kernel-types.ts'
export function testKernel(): Kernel {
  const k = {
    tryLock: (fd: number, mode: string) =>
      spawnSync('flock', ['-n', mode === 'shared' ? '-s' : '-x', '3'], {
        stdio: ['ignore', 'ignore', 'ignore', fd],
      }).status === 0,
    unlock: (fd: number) => {
      spawnSync('flock', ['-u', '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] })
    },
    removeTree: (path: string) => rm(path, { recursive: true, force: true }),
    syncFilesystem: async () => {},
  }
  return k as unknown as Kernel
}
