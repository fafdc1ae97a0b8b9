import type { Kernel } from '../../snapshotter/index.ts'

/** Bytes of all files below `root`, a host path. Errors: those of `Kernel.scanTree`, EACCES where a directory may not be read. */
export async function treeSize(
  root: string,
  kernel: Pick<Kernel, 'scanTree'>,
  signal: AbortSignal,
): Promise<number> {
  const entries = await kernel.scanTree({ root, withXattrs: false, signal })
  return entries.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.sizeBytes : 0), 0)
}
