import {
  chmod,
  lchown,
  link,
  lutimes,
  mkdir,
  rename,
  rm,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises'
import fc from 'fast-check'
import { encodePath } from '../layer/path-bytes.ts'
import type { Kernel } from '../native/kernel-types.ts'
import { errnoOf } from '../store/errors.ts'

/** One thing that a RUN may do below its root. */
export type TreeChange =
  | { readonly kind: 'mkdir' | 'remove' | 'fifo' | 'device' | 'capability'; readonly path: string }
  | { readonly kind: 'write'; readonly path: string; readonly content: string }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | { readonly kind: 'link' | 'rename'; readonly path: string; readonly from: string }
  | { readonly kind: 'chmod'; readonly path: string; readonly mode: number }
  | { readonly kind: 'chown'; readonly path: string; readonly uid: number; readonly gid: number }
  | { readonly kind: 'touch'; readonly path: string; readonly timeSec: number }
  | { readonly kind: 'xattr'; readonly path: string; readonly value: Uint8Array }

/** Few names, so that changes meet; among them bytes that are no UTF-8, a name of the longest kind, and tar's own characters. */
const name = fc.constantFrom('a', 'b', 'c', 'é', '\udcff\udc80', 'x'.repeat(255), ' =%\n', '-')
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'))
/** Nothing that leads out of the tree: changes are made by path, as a test may. */
const target = fc.constantFrom(
  'a',
  'a/b',
  'nowhere',
  '/tsbuild-nowhere/x',
  '\udcff\udc80',
  'y'.repeat(300),
)

export const treeChange: fc.Arbitrary<TreeChange> = fc.oneof(
  { weight: 4, arbitrary: path.map((at): TreeChange => ({ kind: 'mkdir', path: at })) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      path,
      content: fc.string({ maxLength: 12 }),
    }),
  },
  { weight: 3, arbitrary: path.map((at): TreeChange => ({ kind: 'remove', path: at })) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('link' as const, 'rename' as const),
      path,
      from: path,
    }),
  },
  fc.record({ kind: fc.constant('symlink' as const), path, target }),
  fc.record({
    kind: fc.constantFrom('fifo' as const, 'device' as const, 'capability' as const),
    path,
  }),
  fc.record({
    kind: fc.constant('chmod' as const),
    path,
    mode: fc.constantFrom(0o644, 0o4755, 0o1777, 0o2750, 0o600),
  }),
  fc.record({
    kind: fc.constant('chown' as const),
    path,
    uid: fc.constantFrom(0, 1000, 3_000_000),
    gid: fc.nat(65_535),
  }),
  fc.record({
    kind: fc.constant('touch' as const),
    path,
    timeSec: fc.constantFrom(0, 1, 1_500_000_000, 5_000_000_000),
  }),
  fc.record({
    kind: fc.constant('xattr' as const),
    path,
    value: fc.uint8Array({ minLength: 1, maxLength: 20 }),
  }),
)

/** What a random change may run into: it asked for something that the tree does not allow. */
const REFUSALS = new Set([
  'ENOENT',
  'EEXIST',
  'ENOTDIR',
  'EISDIR',
  'ENOTEMPTY',
  'EXDEV',
  'EINVAL',
  'ELOOP',
  'EPERM',
  'ENXIO',
  'ENAMETOOLONG',
  'EOPNOTSUPP',
])

const CAPABILITY = Buffer.from('0100000200040000000000000000000000000000', 'hex')

/** Makes the changes below `dir`, in order; one that the tree does not allow is left out. */
export async function applyChanges(
  dir: string,
  changes: readonly TreeChange[],
  kernel: Pick<Kernel, 'makeNode' | 'setXattr'>,
): Promise<void> {
  for (const change of changes) {
    try {
      await applyChange(dir, change, kernel)
    } catch (error) {
      if (!REFUSALS.has(errnoOf(error) ?? '')) throw error
    }
  }
}

async function applyChange(
  dir: string,
  change: TreeChange,
  kernel: Pick<Kernel, 'makeNode' | 'setXattr'>,
): Promise<void> {
  const host = `${dir}/${change.path}`
  const at = encodePath(host)
  switch (change.kind) {
    case 'mkdir':
      return void (await mkdir(at))
    case 'write':
      // A new file rather than through what is there: opening a fifo would wait.
      return writeFile(at, change.content, { flag: 'wx' }).catch(async (error: unknown) => {
        if (errnoOf(error) !== 'EEXIST') throw error
        await unlink(at)
        await writeFile(at, change.content, { flag: 'wx' })
      })
    case 'remove':
      return rm(at, { recursive: true })
    case 'fifo':
      return kernel.makeNode(host, 'fifo', { mode: 0o640, major: 0, minor: 0 })
    case 'device':
      return kernel.makeNode(host, 'block', { mode: 0o660, major: 7, minor: 300 })
    case 'capability':
      return kernel.setXattr(host, 'security.capability', CAPABILITY)
    case 'symlink':
      return symlink(encodePath(change.target), at)
    case 'link':
      return link(encodePath(`${dir}/${change.from}`), at)
    case 'rename':
      return rename(encodePath(`${dir}/${change.from}`), at)
    case 'chmod':
      return chmod(at, change.mode)
    case 'chown':
      return lchown(at, change.uid, change.gid)
    case 'touch':
      return lutimes(at, change.timeSec, change.timeSec)
    case 'xattr':
      return kernel.setXattr(host, 'user.note', change.value)
  }
}
