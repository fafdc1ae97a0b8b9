import type { Kernel, ScannedEntry } from '../native/kernel-types.ts'
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

const OPAQUE_XATTR = 'trusted.overlay.opaque'
const OPAQUE_USER_XATTR = 'user.overlay.opaque'

/** Whether a scanned directory hides what lower layers have in it. */
export function isMarkedOpaque({ xattrs = [] }: Pick<ScannedEntry, 'xattrs'>): boolean {
  return xattrs.some(
    ({ name, value }) =>
      (name === OPAQUE_XATTR || name === OPAQUE_USER_XATTR) && isOpaqueMark(value),
  )
}

/** The same of a directory on this host; `userXattr`: for mounts made with that, outside the initial user namespace. */
export function isOpaqueOnHost(
  path: string,
  { kernel, userXattr }: { readonly kernel: Pick<Kernel, 'getXattr'>; readonly userXattr: boolean },
): boolean {
  return isOpaqueMark(kernel.getXattr(path, userXattr ? OPAQUE_USER_XATTR : OPAQUE_XATTR))
}

function isOpaqueMark(value: Uint8Array | undefined): boolean {
  return value !== undefined && Buffer.from(value).toString('latin1') === 'y'
}

/** overlayfs's bookkeeping, never part of a layer. */
export function isOverlayXattr(name: string): boolean {
  return name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.')
}
