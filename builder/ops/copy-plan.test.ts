import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CopySource } from '../../frontend/index.ts'
import { digestOf } from '../../registry-client/oci/index.ts'
import type { LayerEntry, PackEntry } from '../../snapshotter/index.ts'
import { CopyError, type CopyErrorCode } from './copy-errors.ts'
import { type MemoryFile, MemoryTree } from './testing/memory-tree.ts'
import { EMPTY_VIEW } from './copy-place.ts'
import { planCopy } from './copy-plan.ts'
import { type Selection, selectSources } from './copy-select.ts'

type Files = Readonly<Record<string, MemoryFile>>

interface CopyCase {
  readonly from: Files
  readonly to?: Files
  readonly sources: readonly (string | { readonly inline: string; readonly content: string })[]
  readonly dest: string
  readonly chown?: string
  readonly chmod?: string
  readonly link?: boolean
  readonly parents?: boolean
  readonly exclude?: readonly string[]
  readonly accounts?: Readonly<Record<string, string>>
  readonly unpack?: Readonly<Record<string, readonly LayerEntry[]>>
}

async function copy(test: CopyCase): Promise<string[]> {
  const { entries } = await run(test)
  return entries.map(describeEntry)
}

async function run(
  test: CopyCase,
): Promise<{ entries: PackEntry[]; keys: string[]; mounts: string[] }> {
  const tree = new MemoryTree(test.from)
  const sources = test.sources.map(
    (source): CopySource =>
      typeof source === 'string'
        ? {
            type: 'path',
            from: 0,
            pattern: source,
            unpack: test.unpack === undefined ? 'never' : 'auto',
            isRemote: false,
          }
        : { type: 'inline', name: source.inline, content: source.content },
  )
  const select = (reader: 'copy' | 'mount'): Promise<Selection> =>
    selectSources({
      node: { sources, parents: test.parents ?? false, exclude: test.exclude ?? [] },
      treeOf: async () => tree,
      takenFrom: () => [],
      reader,
      newFile,
    })
  await using selection = await select('copy')
  await using mounted = await select('mount')
  const pages = planCopy({
    node: {
      dest: test.dest === '/' ? '/' : test.dest.replace(/\/$/, ''),
      destIsDirectory: test.dest.endsWith('/'),
      chown: test.chown,
      chmod: test.chmod,
      epochSec: undefined,
    },
    selection: selection.sources,
    base: test.to === undefined ? EMPTY_VIEW : new MemoryTree(test.to),
    readAccounts:
      test.link === true
        ? undefined
        : async (path) => {
            const text = test.accounts?.[path]
            return text === undefined ? undefined : new TextEncoder().encode(text)
          },
    openArchive: async (_tree, match) => {
      const archived = test.unpack?.[match.entry.path]
      return archived === undefined
        ? undefined
        : { ...UNSORTED, list: () => Promise.resolve(archived) }
    },
    nowSec: 99,
  })
  const entries: PackEntry[] = []
  for await (const page of pages) entries.push(...page)
  return {
    entries,
    keys: selection.sources.map(({ digest }) => digest),
    mounts: mounted.sources.map(({ digest }) => digest),
  }
}

const UNSORTED = { sorted: undefined, root: '/unpacked' }

const newFile = (): string => join(tmpdir(), `tsbuild-selection-${randomUUID()}`)

/** `d 0755 0:0 a/b`, with the target of links and the source of files. */
function describeEntry(entry: PackEntry): string {
  if (entry.type === 'whiteout' || entry.type === 'opaque') {
    return `${entry.type} ${entry.path}`
  }
  const base = `${entry.type[0]} ${entry.mode.toString(8)} ${entry.uid}:${entry.gid} ${entry.path}`
  if (entry.type === 'symlink') {
    return `${base} -> ${entry.target}`
  }
  if (entry.type === 'hardlink') {
    return `${base} = ${entry.target}`
  }
  if (entry.type !== 'file') {
    return base
  }
  return entry.source.kind === 'path'
    ? `${base} < ${entry.source.path}`
    : `${base} "${new TextDecoder().decode(entry.source.bytes)}"`
}

async function fails(test: CopyCase, code: CopyErrorCode, words: RegExp): Promise<void> {
  await assert.rejects(copy(test), (error) => {
    assert(error instanceof CopyError)
    assert.equal(error.code, code)
    assert.match(error.message, words)
    return true
  })
}

describe('planCopy', () => {
  it('copies a file to a name, to a directory, and into an existing directory', async () => {
    const from = { a: 'a' }
    assert.deepEqual(await copy({ from, sources: ['a'], dest: '/x' }), ['f 644 0:0 x < a'])
    assert.deepEqual(await copy({ from, sources: ['a'], dest: '/p/q/' }), [
      'd 755 0:0 p',
      'd 755 0:0 p/q',
      'f 644 0:0 p/q/a < a',
    ])
    const to = { x: { dir: true, mode: 0o711, uid: 7, gid: 8 } } as const
    assert.deepEqual(await copy({ from, to, sources: ['a'], dest: '/x' }), [
      'd 711 7:8 x',
      'f 644 0:0 x/a < a',
    ])
  })

  it('copies the contents of a directory and keeps the metadata of the destination', async () => {
    const from = {
      d: { dir: true, mode: 0o700 },
      'd/s': { dir: true, mode: 0o750 },
      'd/s/f': 'f',
      'd/l': '-> s',
    } as const
    assert.deepEqual(await copy({ from, sources: ['d'], dest: '/x' }), [
      'd 755 0:0 x',
      's 777 0:0 x/l -> s',
      'd 750 0:0 x/s',
      'f 644 0:0 x/s/f < d/s/f',
    ])
    const to = { x: { dir: true, mode: 0o511 }, 'x/s': { dir: true, uid: 9, mode: 0o500 } } as const
    assert.deepEqual(await copy({ from, to, sources: ['d/'], dest: '/x' }), [
      'd 511 0:0 x',
      's 777 0:0 x/l -> s',
      'd 750 0:0 x/s',
      'f 644 0:0 x/s/f < d/s/f',
    ])
  })

  it('makes directories above the destination as mkdir(2) does in a set-group-id directory', async () => {
    const from = { 'd/s/f': 'f' }
    const to = { shared: { dir: true, mode: 0o2770, gid: 6 } } as const
    assert.deepEqual(await copy({ from, to, sources: ['d'], dest: '/shared/x' }), [
      'd 2770 0:6 shared',
      'd 2755 0:6 shared/x',
      'd 755 0:0 shared/x/s',
      'f 644 0:0 shared/x/s/f < d/s/f',
    ])
    const chowned = { from, to, sources: ['d/s/f'], dest: '/shared/x/', chown: '3:4' }
    assert.deepEqual(await copy(chowned), [
      'd 2770 0:6 shared',
      'd 2755 3:4 shared/x',
      'f 644 3:4 shared/x/f < d/s/f',
    ])
  })

  it('follows symlinks of the destination inside the root, but replaces one under the name of the file', async () => {
    const from = { f: 'f' }
    const to = {
      real: null,
      link: '-> real',
      abs: '-> /real',
      up: '-> ../../../real',
      dangling: '-> nope/there',
      'real/f': '-> ../etc/group',
    }
    for (const dest of ['/link/', '/abs/', '/up/', '/link']) {
      assert.deepEqual(await copy({ from, to, sources: ['f'], dest }), [
        'd 755 0:0 real',
        'f 644 0:0 real/f < f',
      ])
    }
    assert.deepEqual(await copy({ from, to, sources: ['f'], dest: '/dangling' }), [
      'd 755 0:0 nope',
      'f 644 0:0 nope/there < f',
    ])
    await fails(
      { from, to: { a: '-> b', b: '-> a' }, sources: ['f'], dest: '/a/x' },
      'too-many-links',
      /too many links/,
    )
  })

  it('refuses a file in the place of a directory and a directory in the place of a file', async () => {
    const from = { f: 'f', 'd/s/g': 'g', 'e/s': 'file' }
    const file = { x: 'x' }
    await fails(
      { from, to: file, sources: ['d'], dest: '/x' },
      'copy-conflict',
      /cannot copy to non-directory/,
    )
    await fails(
      { from, to: file, sources: ['f'], dest: '/x/y/' },
      'copy-conflict',
      /not a directory/,
    )
    await fails(
      { from, to: file, sources: ['f'], dest: '/x/y/z' },
      'copy-conflict',
      /not a directory/,
    )
    await fails(
      { from, to: { 'x/f': null }, sources: ['f'], dest: '/x/' },
      'copy-conflict',
      /cannot replace to directory/,
    )
    await fails(
      { from, sources: ['d', 'e'], dest: '/x/' },
      'copy-conflict',
      /cannot replace to directory/,
    )
    await fails(
      { from, to: { 'x/s': '-> y', 'x/y': null }, sources: ['d'], dest: '/x' },
      'copy-conflict',
      /cannot copy to non-directory/,
    )
  })

  it('lets a later source win', async () => {
    const from = { a: 'a', 'd/a': 'other' }
    assert.deepEqual(await copy({ from, sources: ['a', 'd'], dest: '/x/' }), [
      'd 755 0:0 x',
      'f 644 0:0 x/a < d/a',
    ])
  })

  it('expands wildcards of one component and follows what they match', async () => {
    const from = {
      'a.txt': '',
      '.h.txt': '',
      'b.md': '',
      'd/f': '',
      'd/.g': '',
      'd/s/i': '',
      'l.txt': '-> d',
    }
    assert.deepEqual(await copy({ from, sources: ['*.txt'], dest: '/x/' }), [
      'd 755 0:0 x',
      'f 644 0:0 x/.g < d/.g',
      'f 644 0:0 x/.h.txt < .h.txt',
      'f 644 0:0 x/a.txt < a.txt',
      'f 644 0:0 x/f < d/f',
      'd 755 0:0 x/s',
      'f 644 0:0 x/s/i < d/s/i',
    ])
    assert.deepEqual(await copy({ from, sources: ['nothing*', 'd/[fx]'], dest: '/y' }), [
      'f 644 0:0 y < d/f',
    ])
    assert.deepEqual(await copy({ from, sources: ['no*'], dest: '/y/' }), [])
    await fails({ from, sources: ['none/*'], dest: '/y' }, 'source-missing', /"\/none": not found/)
  })

  it('clamps sources to their root and follows symlinks in them', async () => {
    const from = { 'a/b/f': 'f', lnk: '-> /a/b', 'a/lf': '-> b/f', broken: '-> nope' }
    for (const source of ['lnk/f', '../lnk/f', '/a/lf', 'a/./b/../lf']) {
      assert.deepEqual(await copy({ from, sources: [source], dest: '/1' }), ['f 644 0:0 1 < a/b/f'])
    }
    await fails(
      { from, sources: ['broken'], dest: '/1' },
      'source-missing',
      /"\/broken": not found/,
    )
    await fails({ from, sources: ['a/b/f/x'], dest: '/1' }, 'source-missing', /not found/)
  })

  it('applies --chown to everything it makes and looks names up', async () => {
    const from = { f: 'f', l: null, 'l/s': '-> x' }
    const accounts = {
      '/etc/passwd': 'root:x:0:0::/:\nwww:x:33:34::/:\nlate:x:4294967294:no::/:\n',
      '/etc/group': 'games:x:60:\n',
    }
    const chown = async (text: string) =>
      (await copy({ from, sources: ['f'], dest: '/p/f', chown: text, accounts }))[1]
    assert.deepEqual(await copy({ from, sources: ['f', 'l'], dest: '/p/', chown: '10:20' }), [
      'd 755 10:20 p',
      'f 644 10:20 p/f < f',
      's 777 10:20 p/s -> x',
    ])
    assert.equal(await chown('30'), 'f 644 30:30 p/f < f')
    assert.equal(await chown('www'), 'f 644 33:34 p/f < f')
    assert.equal(await chown('30:nobody'), 'f 644 30:30 p/f < f')
    assert.equal(await chown('www:games'), 'f 644 33:60 p/f < f')
    assert.equal(await chown('1:games'), 'f 644 1:60 p/f < f')
    assert.equal(await chown('nobody:nogroup'), 'f 644 0:0 p/f < f')
    assert.equal(await chown('late'), 'f 644 4294967294:0 p/f < f')
    assert.equal(await chown('-1'), 'f 644 0:0 p/f < f')
    assert.equal(await chown('+7:-2'), 'f 644 7:4294967294 p/f < f')
    assert.equal(await chown('2147483647:-2147483648'), 'f 644 2147483647:2147483648 p/f < f')
    assert.equal(await chown('2147483648'), 'f 644 0:0 p/f < f')
    await fails(
      { from, sources: ['f'], dest: '/f', chown: 'www', link: true },
      'bad-owner',
      /invalid user index/,
    )
  })

  it('applies an octal --chmod to the directories it makes, a symbolic one not', async () => {
    const from = {
      'd/s': { dir: true, mode: 0o700 },
      'd/s/g': 'g',
      'd/f': 'f',
      'd/l': '-> f',
    } as const
    assert.deepEqual(await copy({ from, sources: ['d'], dest: '/a', chmod: '640' }), [
      'd 640 0:0 a',
      'f 640 0:0 a/f < d/f',
      's 777 0:0 a/l -> f',
      'd 640 0:0 a/s',
      'f 640 0:0 a/s/g < d/s/g',
    ])
    assert.deepEqual(await copy({ from, sources: ['d/f'], dest: '/q/f', chmod: '4755' }), [
      'd 755 0:0 q',
      'f 4755 0:0 q/f < d/f',
    ])
    assert.deepEqual(await copy({ from, sources: ['d'], dest: '/a/b', chmod: 'u+x,go=rX' }), [
      'd 755 0:0 a',
      'd 755 0:0 a/b',
      'f 744 0:0 a/b/f < d/f',
      's 777 0:0 a/b/l -> f',
      'd 755 0:0 a/b/s',
      'f 744 0:0 a/b/s/g < d/s/g',
    ])
  })

  it('leaves out what --exclude names, seen from the source', async () => {
    const from = { 'd/a.md': '', 'd/b.txt': '', 'd/sub/c.md': '', 'd/sub/x': '', 'd/sub/y': '' }
    assert.deepEqual(
      await copy({ from, sources: ['d'], dest: '/x/', exclude: ['*.md', 'sub/x'] }),
      [
        'd 755 0:0 x',
        'f 644 0:0 x/b.txt < d/b.txt',
        'd 755 0:0 x/sub',
        'f 644 0:0 x/sub/c.md < d/sub/c.md',
        'f 644 0:0 x/sub/y < d/sub/y',
      ],
    )
    assert.deepEqual(await copy({ from, sources: ['d'], dest: '/y', exclude: ['*', '!sub/x'] }), [
      'd 755 0:0 y',
      'd 755 0:0 y/sub',
      'f 644 0:0 y/sub/x < d/sub/x',
    ])
    assert.deepEqual(await copy({ from, sources: ['d/a*'], dest: '/z/', exclude: ['*.md'] }), [
      'd 755 0:0 z',
      'f 644 0:0 z/a.md < d/a.md',
    ])
  })

  it('keeps parents below the pivot, with their modes', async () => {
    const from = {
      a: { dir: true, mode: 0o711 },
      'a/b': { dir: true, mode: 0o700 },
      'a/b/c.txt': 'c',
      'a/n.md': 'n',
      'r.txt': 'r',
      l: '-> a',
    } as const
    const parents = true
    assert.deepEqual(await copy({ from, parents, sources: ['a/b/c.txt'], dest: '/x/' }), [
      'd 755 0:0 x',
      'd 711 0:0 x/a',
      'd 700 0:0 x/a/b',
      'f 644 0:0 x/a/b/c.txt < a/b/c.txt',
    ])
    assert.deepEqual(await copy({ from, parents, sources: ['**/*.txt'], dest: '/x/' }), [
      'd 755 0:0 x',
      'd 711 0:0 x/a',
      'd 700 0:0 x/a/b',
      'f 644 0:0 x/a/b/c.txt < a/b/c.txt',
      'f 644 0:0 x/r.txt < r.txt',
    ])
    // r.txt is before a pivot that has no directory.
    assert.deepEqual(await copy({ from, parents, sources: ['*/./n.md'], dest: '/x/' }), [
      'd 755 0:0 x',
      'f 644 0:0 x/n.md < a/n.md',
    ])
    await fails(
      { from, parents, sources: ['r.txt/./n.md'], dest: '/x/' },
      'source-missing',
      /"\/r\.txt\/n\.md": not found/,
    )
    assert.deepEqual(await copy({ from, parents, sources: ['a/./b'], dest: '/x/' }), [
      'd 755 0:0 x',
      'd 700 0:0 x/b',
      'f 644 0:0 x/b/c.txt < a/b/c.txt',
    ])
    assert.deepEqual(
      await copy({
        from,
        parents,
        sources: ['a/b/c.txt'],
        dest: '/y/',
        chmod: '0600',
        chown: '4:5',
      }),
      ['d 600 4:5 y', 'd 600 4:5 y/a', 'd 600 4:5 y/a/b', 'f 600 4:5 y/a/b/c.txt < a/b/c.txt'],
    )
    await fails(
      { from, parents, sources: ['l/n.md'], dest: '/x/' },
      'source-missing',
      /"\/l\/n.md": not found/,
    )
  })

  it('gives an implied parent that exists the mode of its source, whatever --chmod says', async () => {
    const from = { a: { dir: true, mode: 0o750 }, 'a/x': 'x', 'a/y': 'y' } as const
    const parents = { from, dest: '/d/', parents: true, chmod: '700' } as const
    assert.deepEqual(await copy({ ...parents, sources: ['a/x'] }), [
      'd 700 0:0 d',
      'd 700 0:0 d/a',
      'f 700 0:0 d/a/x < a/x',
    ])
    assert.deepEqual(await copy({ ...parents, sources: ['a/x', 'a/y'] }), [
      'd 700 0:0 d',
      'd 750 0:0 d/a',
      'f 700 0:0 d/a/x < a/x',
      'f 700 0:0 d/a/y < a/y',
    ])
    const to = { d: { dir: true }, 'd/a': { dir: true, mode: 0o711, uid: 9, gid: 9 } } as const
    assert.deepEqual(await copy({ ...parents, to, sources: ['a/x'] }), [
      'd 755 0:0 d',
      'd 750 9:9 d/a',
      'f 700 0:0 d/a/x < a/x',
    ])
  })

  it('keeps names of one file together, and apart from a name that was replaced', async () => {
    const one = { content: '1', linkGroup: 'i' }
    assert.deepEqual(await copy({ from: { 'd/a': one, 'd/b': one }, sources: ['d'], dest: '/x' }), [
      'd 755 0:0 x',
      'f 644 0:0 x/a < d/a',
      'h 644 0:0 x/b = x/a',
    ])
    const from = { 'd/a': one, 'd/b': one, 'd/c': one, 'e/a': '2' }
    assert.deepEqual(await copy({ from, sources: ['d', 'e'], dest: '/x' }), [
      'd 755 0:0 x',
      'f 644 0:0 x/a < e/a',
      'f 644 0:0 x/b < d/a',
      'h 644 0:0 x/c = x/b',
    ])
  })

  it('writes inline files of mode 0644', async () => {
    const sources = [
      { inline: 'A', content: 'one\n' },
      { inline: 'B', content: 'two\n' },
    ]
    assert.deepEqual(await copy({ from: {}, sources, dest: '/y/' }), [
      'd 755 0:0 y',
      'f 644 0:0 y/A "one\n"',
      'f 644 0:0 y/B "two\n"',
    ])
    assert.deepEqual(await copy({ from: {}, sources: sources.slice(0, 1), dest: '/z' }), [
      'f 644 0:0 z "one\n"',
    ])
  })

  it('gives a destination the time of the directory that is copied, and what it makes on the way the present', async () => {
    const from = { 'd/f': { content: 'f', mtimeSec: 5 }, d: { dir: true, mtimeSec: 7 } } as const
    const times = async (test: Pick<CopyCase, 'sources' | 'dest' | 'to'>): Promise<unknown> => {
      const { entries } = await run({ from, ...test })
      return entries.map((entry) => ('mtimeSec' in entry ? [entry.path, entry.mtimeSec] : []))
    }
    const to = { x: { dir: true, mtimeSec: 3 } } as const
    assert.deepEqual(await times({ sources: ['d'], dest: '/p/q' }), [
      ['p', 99],
      ['p/q', 7],
      ['p/q/f', 5],
    ])
    assert.deepEqual(await times({ to, sources: ['d'], dest: '/x' }), [
      ['x', 7],
      ['x/f', 5],
    ])
    assert.deepEqual(await times({ to, sources: ['d/f'], dest: '/x' }), [
      ['x', 3],
      ['x/f', 5],
    ])
    assert.deepEqual(await times({ sources: ['.'], dest: '/p/' }), [
      ['p', 99],
      ['p/d', 7],
      ['p/d/f', 5],
    ])
  })

  it('refuses names that a layer cannot hold', async () => {
    await fails({ from: { '.wh.x': '' }, sources: ['.'], dest: '/' }, 'reserved-name', /\.wh\./)
  })

  it('unpacks archives as tar does inside the destination', async () => {
    const file = (path: string, digit = '0'): LayerEntry => ({
      type: 'file',
      path,
      mode: 0o644,
      uid: 3,
      gid: 4,
      mtimeSec: 5,
      sizeBytes: 1,
      digest: `sha256:${digit.repeat(64)}` as never,
    })
    const directory = (path: string, mode: number): LayerEntry => ({
      type: 'dir',
      path,
      mode,
      uid: 3,
      gid: 4,
      mtimeSec: 5,
    })
    const archive: LayerEntry[] = [
      file('bin/new'),
      directory('', 0o700),
      directory('r/dir', 0o750),
      { type: 'symlink', path: 'sl', target: 'r', mode: 0o777, uid: 3, gid: 4, mtimeSec: 5 },
      file('sl/through'),
      file('dup', '1'),
      file('dup', '2'),
      { type: 'hardlink', path: 'h', target: 'dup', mode: 0o644, uid: 3, gid: 4, mtimeSec: 5 },
    ]
    const from = { 'a.tar': 'tar' }
    const unpack = { 'a.tar': archive }
    const to = {
      'z/real': { dir: true, mode: 0o700, uid: 5 },
      'z/dup/k': null,
      'z/bin': '-> real',
      z: { dir: true, mode: 0o711 },
    } as const
    assert.deepEqual(await copy({ from, to, unpack, sources: ['a.tar'], dest: '/z', chown: '9' }), [
      'd 711 0:0 z',
      'f 644 9:9 z/dup < h',
      'h 644 9:9 z/h = z/dup',
      'd 755 0:0 z/r',
      'd 750 9:9 z/r/dir',
      'f 644 9:9 z/r/through < r/through',
      'd 700 5:0 z/real',
      'f 644 9:9 z/real/new < bin/new',
      's 777 9:9 z/sl -> r',
    ])
  })

  it('copies several directories into one, the last one over the others', async () => {
    const from = {
      'a/both/f': { content: 'a', mode: 0o600 },
      'a/both/only-a': 'a',
      'a/z': 'a',
      'b/both': { dir: true, mode: 0o700 },
      'b/both/f': { content: 'b', mode: 0o640 },
      'b/c': 'b',
      z: 'file',
    } as const
    assert.deepEqual(await copy({ from, sources: ['a', 'b', 'z'], dest: '/x/' }), [
      'd 755 0:0 x',
      'd 700 0:0 x/both',
      'f 640 0:0 x/both/f < b/both/f',
      'f 644 0:0 x/both/only-a < a/both/only-a',
      'f 644 0:0 x/c < b/c',
      'f 644 0:0 x/z < z',
    ])
    assert.deepEqual(
      (await copy({ from, sources: ['z', 'a'], dest: '/x/' })).at(-1),
      'f 644 0:0 x/z < a/z',
    )
    const files = { from: { 'a/n': 'f', 'b/n/g': 'g', n: 'n' } }
    await fails(
      { ...files, sources: ['a', 'b'], dest: '/x/' },
      'copy-conflict',
      /to non-directory: \/x\/n/,
    )
    await fails(
      { ...files, sources: ['b', 'n'], dest: '/x/' },
      'copy-conflict',
      /directory \/x\/n with file/,
    )
  })

  it('keeps the names of a file together when the first one is copied over', async () => {
    const linked = { content: 'f', linkGroup: '1' }
    const from = { 'a/1': linked, 'a/2': linked, 'a/3': linked, 'b/1': 'b' }
    assert.deepEqual(await copy({ from, sources: ['a', 'b'], dest: '/x/' }), [
      'd 755 0:0 x',
      'f 644 0:0 x/1 < b/1',
      'f 644 0:0 x/2 < a/1',
      'h 644 0:0 x/3 = x/2',
    ])
    assert.deepEqual(await copy({ from, sources: ['b', 'a'], dest: '/x/' }), [
      'd 755 0:0 x',
      'f 644 0:0 x/1 < a/1',
      'h 644 0:0 x/2 = x/1',
      'h 644 0:0 x/3 = x/1',
    ])
  })

  it('unpacks an archive over directories that were copied before it, and copies others over it', async () => {
    const linked = { content: 'f', linkGroup: '1' }
    const from = { 'a/d/1': linked, 'a/d/2': linked, 'a/e/f': 'a', 'b/d/2': 'b', 't.tar': '' }
    const unpack = {
      't.tar': [
        { type: 'symlink', path: 'e2', mode: 0o777, uid: 0, gid: 0, mtimeSec: 0, target: 'd' },
        file('e2/1', 'archived'),
      ],
    } as const
    assert.deepEqual(await copy({ from, unpack, sources: ['a', 't.tar', 'b'], dest: '/x/' }), [
      'd 755 0:0 x',
      'd 755 0:0 x/d',
      'f 600 0:0 x/d/1 < d/1',
      'f 644 0:0 x/d/2 < b/d/2',
      'd 755 0:0 x/e',
      'f 644 0:0 x/e/f < a/e/f',
      's 777 0:0 x/e2 -> d',
    ])
  })
})

const file = (path: string, text: string): LayerEntry => ({
  ...{ type: 'file', path, mode: 0o600, uid: 0, gid: 0, mtimeSec: 0 },
  sizeBytes: text.length,
  digest: digestOf(text),
})

describe('ContentKey', () => {
  const key = async (from: Files, source: string, exclude: readonly string[] = []) =>
    (await run({ from, sources: [source], dest: '/x', exclude })).keys.join()

  it('does not depend on times, on where a directory is, or on what is not selected', async () => {
    const expected = await key({ 'd/f': 'f', other: '1' }, 'd')
    assert.equal(await key({ 'd/f': { content: 'f', mtimeSec: 77 } }, 'd'), expected)
    assert.equal(await key({ 'long/d/f': 'f' }, 'long/d/'), expected)
    assert.equal(await key({ 'd/f': 'f', 'd/log': '' }, 'd', ['log']), expected)
  })

  it('depends on the name of a directory in a COPY, not in a mount', async () => {
    const [d, other] = await Promise.all([
      run({ from: { 'd/f': 'f' }, sources: ['d'], dest: '/x' }),
      run({ from: { 'other/f': 'f' }, sources: ['other'], dest: '/x' }),
    ])
    assert.notDeepEqual(d.keys, other.keys)
    assert.deepEqual(d.mounts, other.mounts)
  })

  it('depends on the mode and owner of a directory in a mount, not in a COPY', async () => {
    const plain = { dir: true, mode: 0o755 } as const
    const variants = [plain, { ...plain, mode: 0o750 }, { ...plain, uid: 1 }, { ...plain, gid: 1 }]
    const all = await Promise.all(
      variants.map((d) => run({ from: { d, 'd/f': 'f' }, sources: ['d'], dest: '/x' })),
    )
    assert.equal(new Set(all.map(({ keys }) => keys.join())).size, 1)
    assert.equal(new Set(all.map(({ mounts }) => mounts.join())).size, variants.length)
    const later = { d: { ...plain, mtimeSec: 77 }, 'd/f': 'f' }
    const { mounts } = await run({ from: later, sources: ['d'], dest: '/x' })
    assert.deepEqual(mounts, all[0]?.mounts)
  })

  it('depends on names, modes, owners, targets, bytes, and on which names are one file', async () => {
    const variants: Files[] = [
      { 'd/f': 'f' },
      { 'd/f': 'g' },
      { 'd/g': 'f' },
      { 'd/f': { content: 'f', mode: 0o755 } },
      { 'd/f': { content: 'f', uid: 1 } },
      { 'd/f': '-> f' },
      { 'd/f': '-> g' },
      { 'd/f': null },
      { 'd/f': { fifo: true } },
      { 'd/a': 'f', 'd/b': 'f' },
      { 'd/a': { content: 'f', linkGroup: '1' }, 'd/b': { content: 'f', linkGroup: '1' } },
      { 'd/ab': '' },
      { 'd/a/b': '' },
      { d: null },
    ]
    const keys = await Promise.all(variants.map((from) => key(from, 'd')))
    assert.equal(new Set(keys).size, variants.length)
  })

  it('takes the identity of a remote tree for its contents', async () => {
    const remoteKey = async (files: Files, identity: string): Promise<string> => {
      const source: CopySource = {
        type: 'path',
        from: 0,
        pattern: '/',
        unpack: 'never',
        isRemote: true,
      }
      await using selection = await selectSources({
        node: { sources: [source], parents: false, exclude: ['log'] },
        treeOf: async () => new MemoryTree(files, identity),
        takenFrom: () => [],
        reader: 'copy',
        newFile,
      })
      assert(selection.sources[0] !== undefined)
      return selection.sources[0].digest
    }
    const expected = await remoteKey({ f: '1', '.git/index': '1' }, 'commit')
    assert.equal(await remoteKey({ f: '1', '.git/index': '2', log: '' }, 'commit'), expected)
    assert.notEqual(await remoteKey({ f: '1', '.git/index': '1' }, 'other'), expected)
    assert.notEqual(await remoteKey({ '.git/index': '1' }, 'commit'), expected)
  })

  it('is not confused by names that hold what separates fields', async () => {
    assert.notEqual(await key({ 'd/a1:b': '' }, 'd'), await key({ 'd/a': '', 'd/b': '' }, 'd'))
    assert.notEqual(await key({ 'd/\udc80': '' }, 'd'), await key({ 'd/\udc81': '' }, 'd'))
  })
})
