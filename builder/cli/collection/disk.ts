import { statfs } from 'node:fs/promises'
import type { DiskSpace } from './limits.ts'

export async function diskSpaceAt(path: string): Promise<DiskSpace> {
  const { bavail, blocks, bsize } = await statfs(path)
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
}
