import { isOverlayXattr } from './whiteout.ts'

interface Xattr {
  readonly name: string
  readonly value: Uint8Array
}

const CAPABILITY = 'security.capability'

/** VFS_CAP_REVISION_3 and _2, VFS_CAP_REVISION_MASK of linux/capability.h: the little-endian first word's top byte. */
const REVISION_BYTE = 3
const REVISION_2 = 0x02
const REVISION_3 = 0x03
/** struct vfs_cap_data; version 3 appends the root uid of the user namespace. */
const VERSION_2_BYTES = 20

/**
 * The extended attributes of a file that belong into a layer (features rows O22, O23): not overlayfs's own, of `security.`
 * only file capabilities (labels are the machine's), nothing of `system.` (access control lists name the host's users).
 */
export function layerXattrs(xattrs: readonly Xattr[] | undefined): readonly Xattr[] | undefined {
  const kept = xattrs?.filter(({ name }) => isLayerXattr(name)).map(normalizeCapability)
  return kept === undefined || kept.length === 0 ? undefined : kept
}

function isLayerXattr(name: string): boolean {
  if (isOverlayXattr(name) || name.startsWith('system.')) return false
  return !name.startsWith('security.') || name === CAPABILITY
}

/** `setcap` in a user namespace makes the kernel store version 3 with that namespace's root; layers carry version 2 (features row X50). */
function normalizeCapability(xattr: Xattr): Xattr {
  if (xattr.name !== CAPABILITY || xattr.value[REVISION_BYTE] !== REVISION_3) return xattr
  const value = xattr.value.slice(0, VERSION_2_BYTES)
  value[REVISION_BYTE] = REVISION_2
  return { name: xattr.name, value }
}

export function equalXattrs(
  a: readonly Xattr[] | undefined,
  b: readonly Xattr[] | undefined,
): boolean {
  if ((a?.length ?? 0) !== (b?.length ?? 0)) return false
  return (a ?? []).every((left, index) => {
    const right = b?.[index]
    return (
      right !== undefined &&
      left.name === right.name &&
      Buffer.compare(left.value, right.value) === 0
    )
  })
}
