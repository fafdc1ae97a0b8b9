import { digestOf } from '../../registry-client/oci/index.ts'
import type { LayerEntry, LayerPath } from '../layer/entry.ts'
import type { ScannedEntry } from '../native/kernel-types.ts'

const METADATA = { mode: 0o644, uid: 0, gid: 0, mtimeSec: 1_700_000_000 }

/** Layer entries with plain metadata, for tests that are about names. */
export const dir = (path: LayerPath, change: { readonly mode?: number } = {}): LayerEntry => ({
  type: 'dir',
  path,
  ...METADATA,
  mode: 0o755,
  ...change,
})

export const file = (path: LayerPath, content: string = path): LayerEntry => ({
  type: 'file',
  path,
  ...METADATA,
  sizeBytes: Buffer.byteLength(content),
  digest: digestOf(content),
})

export const symlink = (path: LayerPath, target: string): LayerEntry => ({
  type: 'symlink',
  path,
  ...METADATA,
  mode: 0o777,
  target,
})

export const hardlink = (path: LayerPath, target: LayerPath): LayerEntry => ({
  type: 'hardlink',
  path,
  ...METADATA,
  target,
})

export const whiteout = (path: LayerPath): LayerEntry => ({ type: 'whiteout', path })
export const opaque = (path: LayerPath): LayerEntry => ({ type: 'opaque', path })

let inodes = 1000

/** What a scan would say of a file with plain metadata; every call is another inode. */
export function scanned(
  path: LayerPath,
  type: ScannedEntry['type'] = 'file',
  change: Partial<ScannedEntry> = {},
): ScannedEntry {
  inodes += 1
  return {
    path,
    type,
    mode: type === 'dir' ? 0o755 : 0o644,
    uid: 0,
    gid: 0,
    sizeBytes: 3,
    mtimeSec: 1_700_000_000,
    mtimeNsec: 0,
    ctimeSec: 1_700_000_000,
    ctimeNsec: 0,
    dev: 1,
    ino: inodes,
    nlink: 1,
    ...change,
  }
}
