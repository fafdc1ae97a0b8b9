import type { LayerPath } from './entry.ts'
import { nameOf } from './order.ts'

/** OCI image-spec, layer.md "Whiteouts": a file of this prefix removes the name that follows it. */
const WHITEOUT_PREFIX = '.wh.'

/** Names of this prefix cannot be stored in a layer: a reader would take them for whiteouts (features row O17). */
export function isReservedName(path: LayerPath): boolean {
  return nameOf(path).startsWith(WHITEOUT_PREFIX)
}

/** overlayfs's own form of a whiteout: a character device 0/0 (kernel Documentation/filesystems/overlayfs.rst). */
export function isWhiteoutDevice(entry: {
  readonly type: string
  readonly major?: number
  readonly minor?: number
}): boolean {
  return entry.type === 'char' && entry.major === 0 && entry.minor === 0
}

/** `trusted.` in the initial user namespace, `user.` in mounts made with `userxattr`. */
export function opaqueXattr(userXattr: boolean): string {
  return userXattr ? 'user.overlay.opaque' : 'trusted.overlay.opaque'
}

/** overlayfs's bookkeeping, never part of a layer. */
export function isOverlayXattr(name: string): boolean {
  return name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.')
}
