import assert from 'node:assert/strict'
import type { CopyNode } from './graph.ts'
import { fileNameOf } from './convert-remote.ts'
import { convertText, copyNodes, faultsOf, historyOf, nodeOf } from './testing/convert-text.ts'

async function copyOf(...lines: string[]): Promise<CopyNode> {
  const copy = copyNodes(await convertText(['FROM a', ...lines])).at(-1)
  assert.ok(copy !== undefined)
  return copy
}

const fault = async (line: string): Promise<string> => {
  const [first = ''] = await faultsOf(['FROM a', line])
  return first.replace(/^2 [a-z-]+: (dockerfile parse error on line 2: )?/, '')
}

describe('COPY', () => {
  it('joins the destination with WORKDIR and tells directories by how they are written', async () => {
    const dest = async (text: string) => {
      const { dest, destIsDirectory } = await copyOf('WORKDIR /w', `COPY f ${text}`)
      return [dest, destIsDirectory]
    }
    assert.deepEqual(await dest('/x/../y'), ['/y', false])
    assert.deepEqual(await dest('d/'), ['/w/d', true])
    assert.deepEqual(await dest('d/.'), ['/w/d', true])
    assert.deepEqual(await dest('.'), ['/w', true])
    assert.deepEqual(await dest('""'), ['/w', true])
    assert.deepEqual(await dest('../../..'), ['/', false])
  })

  it('expands paths, --chown and --chmod, and shows them so in history', async () => {
    const graph = await convertText([
      'FROM a',
      'ARG V=x M=755',
      'COPY --chown=$V:0 --chmod=$M --from=b ["$V y", "\\\\$V", "/$V"]',
    ])
    const [copy] = copyNodes(graph)
    assert.deepEqual([copy?.chown, copy?.chmod], ['x:0', '755'])
    assert.equal(historyOf(graph).at(-1), 'COPY --chown=x:0 --chmod=755 x y $V /x # buildkit')
  })

  it('writes inline files, expanding those whose delimiter is not quoted', async () => {
    const { sources } = await copyOf(
      'ENV X=1',
      `COPY <<A <<'B' <<-C /d/`,
      `"$X" '\${X}' \\$X`,
      'A',
      '$X',
      'B',
      '\t$X',
      '\tC',
    )
    assert.deepEqual(sources, [
      { type: 'inline', name: 'A', content: `"1" '1' $X\n` },
      { type: 'inline', name: 'B', content: '$X\n' },
      { type: 'inline', name: 'C', content: '1\n' },
    ])
  })

  it('keeps flags for the builder', async () => {
    const copy = await copyOf('COPY --link --parents --exclude=*.o --exclude=!a.o a/./b c d/')
    assert.deepEqual([copy.link, copy.parents, copy.exclude], [true, true, ['*.o', '!a.o']])
    assert.equal((await copyOf('COPY --link --chmod=644 a b')).link, false)
  })

  it('checks --chmod', async () => {
    assert.equal((await copyOf('COPY --chmod=u=rwX,go= a b')).chmod, 'u=rwX,go=')
    // One spelling, one step in the cache.
    assert.equal((await copyOf('COPY --chmod=0644 a b')).chmod, '644')
    assert.match(
      await fault('COPY --chmod=9x a b'),
      /^invalid chmod parameter: '9x'. it should be octal/,
    )
    assert.match(await fault('COPY --chmod=10000 a b'), /between 0 and 07777/)
    assert.match(await fault('COPY --chmod=u+q a b'), /invalid syntax/)
  })

  it('takes neither URLs nor git repositories', async () => {
    assert.equal(await fault('COPY https://h/f /'), "source can't be a URL for COPY")
    assert.equal(await fault('COPY https://h/r.git /'), "source can't be a git ref for COPY")
  })
})

describe('COPY --parents', () => {
  it('wants something behind the pivot', async () => {
    const [found] = await faultsOf(['FROM a', 'COPY --parents src/a/./ /x/'])
    assert.match(found ?? '', /^2 bad-argument: "\/src\/a": not found: .* write "src\/a\/\.\/\*"/)
    await convertText(['FROM a', 'COPY --parents src/./a/ src/*/./ ./b /x/'])
  })

  it('wants a name to keep', async () => {
    for (const source of ['.', '/', './', 'a/..', '/./.']) {
      const [found] = await faultsOf(['FROM a', `COPY --parents ${source} /x/`])
      assert.match(found ?? '', /^2 bad-argument: "\/": not found: /, source)
    }
    await convertText(['FROM a', 'COPY --parents * /x/'])
  })
})

describe('heredocs of COPY', () => {
  it('have the name of a file', async () => {
    for (const name of ['a/b', '.', '..']) {
      const [found] = await faultsOf(['FROM a', `COPY <<${name} /x/`, 'text', name])
      assert.match(found ?? '', /^2 bad-argument: heredoc .* cannot be a file of that name/, name)
    }
    await convertText(['FROM a', 'COPY <<.a <<...  /x/', '1', '.a', '2', '...'])
  })
})

describe('ADD', () => {
  it('unpacks local archives and keeps downloads, unless told otherwise', async () => {
    const unpack = async (flag: string) =>
      (await copyOf(`ADD ${flag} local.tar http://h/remote.tar /`)).sources.map(
        (source) => source.type === 'path' && source.unpack,
      )
    assert.deepEqual(await unpack(''), ['auto', 'never'])
    assert.deepEqual(await unpack('--unpack'), ['auto', 'always'])
    assert.deepEqual(await unpack('--unpack=false'), ['never', 'never'])
  })

  it('names a download after its URL', async () => {
    const graph = await convertText(['FROM a', 'ADD http://h/a/b%20c?q#f http://h http://h/d/ /x/'])
    const names = graph.nodes.flatMap((node) => (node.kind === 'http' ? [node.filename] : []))
    assert.deepEqual(names, ['b c', '__unnamed__', 'd'])
    assert.deepEqual(
      ['http://h/a/.', 'http://h/a/..', 'http://h/%zz', 'http://h/a%2fb'].map(fileNameOf),
      ['__unnamed__', '__unnamed__', '__unnamed__', 'b'],
    )
  })

  it('shares equal downloads', async () => {
    const graph = await convertText(['FROM a', 'ADD http://h/f /x', 'ADD http://h/f /y'])
    assert.equal(graph.nodes.filter(({ kind }) => kind === 'http').length, 1)
  })

  it('checks --checksum', async () => {
    const digest = `sha256:${'0'.repeat(64)}`
    const graph = await convertText(['FROM a', `ADD --checksum=${digest} http://h/f /`])
    const http = graph.nodes.find((node) => node.kind === 'http')
    assert.equal(http?.kind === 'http' && http.checksum, digest)
    assert.match(await fault('ADD --checksum=sha256:12 http://h/f /'), /invalid checksum digest/)
    assert.match(await fault(`ADD --checksum=${digest} f /`), /requires HTTP\(S\) or Git sources/)
    assert.match(
      await fault(`ADD --checksum=${digest} http://h/f http://h/g /`),
      /multiple sources/,
    )
  })

  it('makes git nodes of git URLs', async () => {
    const graph = await convertText([
      'FROM a',
      'ADD --keep-git-dir https://h/r.git#v1:sub /x',
      'ADD github.com/x/y /z',
    ])
    const [first, second] = copyNodes(graph)
    const source = first?.sources[0]
    assert.ok(source?.type === 'path')
    const { origin, id, ...git } = nodeOf(graph, source.from)
    assert.ok(origin.title !== '' && id >= 0)
    assert.deepEqual(git, {
      kind: 'git',
      remote: 'https://h/r.git',
      ref: 'v1',
      subdir: 'sub',
      checksum: undefined,
      keepGitDir: true,
      submodules: true,
      mtime: 'checkout',
      fetchByCommit: false,
    })
    assert.deepEqual(second?.sources[0]?.type === 'path' && second.sources[0].isRemote, false)
    assert.match(
      await fault('ADD --keep-git-dir=false https://h/r.git?keep-git-dir=1 /x'),
      /inconsistent/,
    )
    assert.match(await fault('ADD https://h/r.git?x=1 /x'), /unexpected query "x"/)
  })
})
