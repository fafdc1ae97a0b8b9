import { KernelError } from './kernel-error.ts'
import type { PackEntry } from './kernel-types.ts'

const ID_MAX = 0xffff_fffe

/** Refuses with `bad-argument` unless `holds`. */
export function check(holds: boolean, reason: string): void {
  if (!holds) {
    throw new KernelError('bad-argument', `could not call the native addon: ${reason}`)
  }
}

function isWhole(value: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= max
}

/** A host path or a path in a tree. NUL ends a path for the kernel, so it could mean another file than the one checked. */
export function checkPath(path: string, what: string): void {
  check(typeof path === 'string' && !path.includes('\0'), `${what} is not a path without NUL`)
}

export function checkHostPath(path: string, what: string): void {
  checkPath(path, what)
  check(path !== '', `${what} is empty`)
}

export function checkFd(fd: number): void {
  check(isWhole(fd, 0x7fff_ffff), `${fd} is not a file descriptor`)
}

export function checkDevice(mode: number, major: number, minor: number): void {
  check(isWhole(mode, 0o7777), `mode ${mode} is out of range`)
  check(
    isWhole(major, 0xfff) && isWhole(minor, 0xf_ffff),
    `device ${major}:${minor} is out of range`,
  )
}

/** What the addon takes for granted about an entry to pack. */
export function checkPackEntry(entry: PackEntry): void {
  checkPath(entry.path, 'the path of an entry')
  if (entry.type === 'whiteout' || entry.type === 'opaque') {
    return
  }
  const about = `of '${entry.path}'`
  check(isWhole(entry.mode, 0o7777), `mode ${entry.mode} ${about} is out of range`)
  check(isWhole(entry.uid, ID_MAX), `uid ${entry.uid} ${about} is out of range`)
  check(isWhole(entry.gid, ID_MAX), `gid ${entry.gid} ${about} is out of range`)
  check(
    Number.isSafeInteger(entry.mtimeSec),
    `time ${entry.mtimeSec} ${about} is not in whole seconds`,
  )
  for (const { name } of entry.xattrs ?? []) {
    checkHostPath(name, `the name of an extended attribute ${about}`)
  }
  if (entry.type === 'symlink' || entry.type === 'hardlink') {
    checkPath(entry.target, `the target ${about}`)
  } else if (entry.type === 'char' || entry.type === 'block') {
    checkDevice(entry.mode, entry.major, entry.minor)
  } else if (entry.type === 'file') {
    check(
      isWhole(entry.sizeBytes, Number.MAX_SAFE_INTEGER),
      `size ${entry.sizeBytes} ${about} is out of range`,
    )
    if (entry.source.kind === 'bytes') {
      const { length } = entry.source.bytes
      check(
        length === entry.sizeBytes,
        `the ${length} bytes ${about} are not its size ${entry.sizeBytes}`,
      )
    } else {
      checkHostPath(entry.source.root, `the source root ${about}`)
      checkHostPath(entry.source.path, `the source path ${about}`)
    }
  }
}
