import { lutimes, writeFile } from 'node:fs/promises'
import {
  encodePath,
  type Kernel,
  type LayerEntry,
  type LayerPath,
  type PackEntry,
  parentOf,
  readContents,
} from '../../snapshotter/index.ts'
import type { RecordedOwner } from '../sandbox/report.ts'

/**
 * Owners where there is a single id (docs/decisions/004-recorded-owners.md): beside each file that is not root's, in this
 * attribute, as "uid:gid", or "uid:gid:c:major:minor" on the empty file that stands for a device. The other side is
 * snapshotter/native/sandbox-init/owners.h.
 */
const OWNER_XATTR = 'user.tsbuild.owner'

const SETGID = 0o2000

/** Records the owners of a layer that was just unpacked below `root` without them; `contents` is its table of contents. */
export async function recordOwners(
  root: string,
  contents: string,
  kernel: Pick<Kernel, 'setXattr'>,
): Promise<void> {
  const changedParents = new Set<LayerPath>()
  // Nothing is unpacked through a link, but a table of contents is only data: none is followed here.
  let lastLeaf: LayerPath | undefined
  for await (const entry of entriesOf(contents)) {
    if (lastLeaf !== undefined && entry.path.startsWith(`${lastLeaf}/`)) continue
    if (isLeaf(entry)) lastLeaf = entry.path
    if (!hasAttributes(entry)) continue
    const place = entry.path === '' ? root : `${root}/${entry.path}`
    if (isDevice(entry)) {
      await writeFile(encodePath(place), '', { flag: 'wx', mode: entry.mode })
      await lutimes(encodePath(place), entry.mtimeSec, entry.mtimeSec)
      changedParents.add(parentOf(entry.path))
    }
    recordOne(place, entry, kernel)
  }
  if (changedParents.size === 0) return
  for await (const entry of entriesOf(contents)) {
    if (entry.type === 'dir' && changedParents.has(entry.path)) {
      await lutimes(encodePath(`${root}/${entry.path}`), entry.mtimeSec, entry.mtimeSec)
    }
  }
}

async function* entriesOf(contents: string): AsyncGenerator<LayerEntry> {
  for await (const batch of readContents(contents)) yield* batch
}

/** Marks say nothing of what is at their own path. */
function isLeaf({ type }: LayerEntry): boolean {
  return type !== 'dir' && type !== 'whiteout' && type !== 'opaque'
}

type DeviceEntry = Extract<LayerEntry, { type: 'char' | 'block' }>
type AttributedEntry = Extract<LayerEntry, { type: 'dir' | 'file' }> | DeviceEntry

function isDevice(entry: LayerEntry): entry is DeviceEntry {
  return entry.type === 'char' || entry.type === 'block'
}

/** A hardlink has those of the file that it is. */
function hasAttributes(entry: LayerEntry): entry is AttributedEntry {
  return entry.type === 'dir' || entry.type === 'file' || isDevice(entry)
}

function recordOne(place: string, entry: AttributedEntry, kernel: Pick<Kernel, 'setXattr'>): void {
  for (const { name, value } of entry.xattrs ?? []) {
    if (name.startsWith('user.') || name === 'security.capability') {
      kernel.setXattr(place, name, value)
    }
  }
  const text = recordOf(entry)
  if (text !== undefined) kernel.setXattr(place, OWNER_XATTR, Buffer.from(text))
}

function recordOf(entry: AttributedEntry): string | undefined {
  const owner = `${entry.uid}:${entry.gid}`
  if (isDevice(entry)) {
    return `${owner}:${entry.type === 'char' ? 'c' : 'b'}:${entry.major}:${entry.minor}`
  }
  return entry.uid === 0 && entry.gid === 0 ? undefined : owner
}

/**
 * A step's changes with the owners that were recorded for them. `noted` are those of links, pipes and sockets. What root
 * made in a directory with the set-group-id bit has that directory's group, as inode(7) says.
 */
export async function* withRecordedOwners(
  changes: AsyncIterable<readonly PackEntry[]>,
  noted: readonly RecordedOwner[],
): AsyncGenerator<readonly PackEntry[]> {
  const notes = new Map(noted.map((owner) => [owner.path, owner]))
  const groups = new Map<LayerPath, number>()
  for await (const page of changes) {
    yield page.map((entry) => {
      if (!('uid' in entry)) return entry
      const owned = decode(entry, notes.get(entry.path)) ?? {
        ...entry,
        gid: groups.get(parentOf(entry.path)) ?? entry.gid,
      }
      if (owned.type === 'dir' && (owned.mode & SETGID) !== 0) groups.set(owned.path, owned.gid)
      return owned
    })
  }
}

type OwnedEntry = Extract<PackEntry, { uid: number }>

function decode(entry: OwnedEntry, note: RecordedOwner | undefined): OwnedEntry | undefined {
  if (note !== undefined) return { ...entry, uid: note.uid, gid: note.gid }
  const record = entry.xattrs?.find(({ name }) => name === OWNER_XATTR)
  const match = /^(\d+):(\d+)(?::([cb]):(\d+):(\d+))?$/.exec(
    record === undefined ? '' : Buffer.from(record.value).toString('latin1'),
  )
  if (match === null) return undefined
  const [, uid, gid, node, major, minor] = match
  const { xattrs: _, ...rest } = entry
  const others = entry.xattrs?.filter(({ name }) => name !== OWNER_XATTR) ?? []
  const owned = {
    ...rest,
    uid: Number(uid),
    gid: Number(gid),
    ...(others.length === 0 ? {} : { xattrs: others }),
  }
  if (node === undefined || owned.type !== 'file') return owned
  const { sizeBytes: _size, source: _source, ...bare } = owned
  return {
    ...bare,
    type: node === 'c' ? 'char' : 'block',
    major: Number(major),
    minor: Number(minor),
  }
}
