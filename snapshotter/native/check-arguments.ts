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
  // Called for every file: the message is made when it is needed.
  if (typeof path === 'string' && !path.includes('\0')) return
  check(false, `${what} is not a path without NUL`)
}

export function checkHostPath(path: string, what: string): void {
  checkPath(path, what)
  if (path === '') check(false, `${what} is empty`)
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

/** What the addon takes for granted about an entry to pack. Called for every file: messages are made when needed. */
export function checkPackEntry(entry: PackEntry): void {
  checkPath(entry.path, 'the path of an entry')
  if (entry.type === 'whiteout' || entry.type === 'opaque') {
    return
  }
  const { mode, uid, gid, mtimeSec } = entry
  if (!isWhole(mode, 0o7777)) refuse(entry, `mode ${mode}`, 'is out of range')
  if (!isWhole(uid, ID_MAX)) refuse(entry, `uid ${uid}`, 'is out of range')
  if (!isWhole(gid, ID_MAX)) refuse(entry, `gid ${gid}`, 'is out of range')
  if (!Number.isSafeInteger(mtimeSec)) refuse(entry, `time ${mtimeSec}`, 'is not in whole seconds')
  for (const { name } of entry.xattrs ?? []) {
    checkHostPath(name, `the name of an extended attribute of '${entry.path}'`)
  }
  if (entry.type === 'symlink' || entry.type === 'hardlink') {
    checkPath(entry.target, 'the target of a link')
  } else if (entry.type === 'char' || entry.type === 'block') {
    checkDevice(mode, entry.major, entry.minor)
  } else if (entry.type === 'file') {
    checkFile(entry)
  }
}

function checkFile(entry: Extract<PackEntry, { type: 'file' }>): void {
  const { sizeBytes, source } = entry
  if (!isWhole(sizeBytes, Number.MAX_SAFE_INTEGER)) {
    refuse(entry, `size ${sizeBytes}`, 'is out of range')
  }
  if (source.kind === 'path') {
    checkHostPath(source.root, 'the root of a source')
    checkHostPath(source.path, 'the path of a source')
  } else if (source.bytes.length !== sizeBytes) {
    refuse(entry, `the ${source.bytes.length} bytes`, `are not its size ${sizeBytes}`)
  }
}

function refuse(entry: PackEntry, what: string, reason: string): never {
  throw new KernelError(
    'bad-argument',
    `could not call the native addon: ${what} of '${entry.path}' ${reason}`,
  )
}
