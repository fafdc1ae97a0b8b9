import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { digestOf } from '../../registry-client/oci/index.ts'
import { kernel } from '../../snapshotter/index.ts'
import { temporaryPaths } from '../../snapshotter/testing/temporary-directory.ts'
import { CopyError } from '../ops/copy-errors.ts'
import { serveGit } from '../ops/testing/git-server.ts'
import { type HttpServer, serveHttp } from '../ops/testing/http-server.ts'
import { classifyInput } from './archive-bytes.ts'
import type { FilesLocation, OpenContext, OpenOptions } from './context-parts.ts'
import { hostReader, readDockerfile } from './dockerfile.ts'
import { ContextError } from './errors.ts'
import { openContext } from './open-context.ts'

describe('openContext', () => {
  let directory = ''
  let tar = ''
  let server: HttpServer
  let base = ''
  const served = new Map<string, Uint8Array>()

  before(async () => {
    server = await serveHttp((request, response) => {
      const bytes = served.get(request.url ?? '')
      response.writeHead(bytes === undefined ? 404 : 200).end(bytes)
    })
    base = `http://${server.host}`
  })

  after(() => server[Symbol.asyncDispose]())

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-context-'))
    const source = join(directory, 'source')
    mkdirSync(join(source, 'd'), { recursive: true })
    writeFileSync(join(source, 'Dockerfile'), 'FROM scratch\n')
    writeFileSync(join(source, '.dockerignore'), 'ignored\n')
    writeFileSync(join(source, 'ignored'), 'i')
    writeFileSync(join(source, 'd/f'), 'f', { mode: 0o600 })
    symlinkSync('/etc/hostname', join(source, 'out'))
    tar = join(directory, 'context.tar')
    execFileSync('tar', ['--owner=5', '--group=6', '-cf', tar, '-C', source, '.'])
    mkdirSync(join(directory, 'work'))
  })

  afterEach(() => rmSync(directory, { recursive: true }))

  const open = (
    location: FilesLocation,
    options: Partial<OpenOptions> = {},
  ): Promise<OpenContext> =>
    openContext(
      location,
      { description: 'the build context', ignoreText: undefined, isNamed: false, ...options },
      {
        kernel,
        contextsDirectory: join(directory, 'contexts'),
        workDirectory: join(directory, 'work'),
        temporaryPath: temporaryPaths(join(directory, 'work')),
        env: { PATH: process.env['PATH'] },
        readSecret: () => Promise.resolve(undefined),
        sshAgent: () => Promise.resolve(undefined),
        signal: new AbortController().signal,
      },
    )

  const never = new AbortController().signal
  const names = async (context: OpenContext): Promise<string[]> =>
    (await context.tree(never).list('')).map((entry) => entry.path)

  it('reads a directory in place, without what its ignore file names', async () => {
    const context = await open({ kind: 'directory', path: join(directory, 'source') })
    assert.deepEqual(await names(context), ['.dockerignore', 'Dockerfile', 'd', 'out'])
    const tree = context.tree(never)
    assert.equal(tree.missingReason?.('ignored'), 'excluded by .dockerignore')
    assert.equal(await context.readText('Dockerfile'), 'FROM scratch\n')
    const other = await open(
      { kind: 'directory', path: join(directory, 'source') },
      { ignoreText: '*' },
    )
    assert.deepEqual(await names(other), [])
    await tree.save?.()
  })

  it('says which directory is not there', async () => {
    await assert.rejects(open({ kind: 'directory', path: join(directory, 'nope') }), (error) => {
      assert(error instanceof ContextError)
      assert.match(error.message, /path ".*nope" not found/)
      return true
    })
    await assert.rejects(open({ kind: 'directory', path: tar }), /is not a directory/)
  })

  it('unpacks an archive with its owners and does not filter it', async () => {
    for (const compress of ['cat', 'gzip', 'bzip2', 'xz', 'zstd']) {
      const file = join(directory, `context.tar.${compress}`)
      writeFileSync(file, execFileSync(compress, compress === 'cat' ? [tar] : ['-c', tar]))
      const context = await open({ kind: 'archive', path: file, origin: 'stdin' })
      assert.deepEqual(await names(context), ['.dockerignore', 'Dockerfile', 'd', 'ignored', 'out'])
      const tree = context.tree(never)
      const entry = await tree.lookup('d/f')
      assert.deepEqual([entry?.uid, entry?.gid, entry?.mode], [5, 6, 0o600])
      assert(entry?.type === 'file')
      assert.deepEqual(await tree.fileDigests([entry]), [digestOf('f')])
      const source = tree.source({ root: '', path: 'd/f' })
      assert(source.kind === 'path')
      assert.equal(readFileSync(join(source.root, source.path), 'utf8'), 'f')
      assert.equal(await context.readText('./Dockerfile'), 'FROM scratch\n')
      assert.equal(await context.readText('nope/Dockerfile'), undefined)
    }
  })

  it('never reads a link of an archive outside of it', async () => {
    const context = await open({ kind: 'archive', path: tar, origin: 'stdin' })
    assert.equal(await context.readText('out'), undefined)
  })

  it('refuses a broken archive', async () => {
    writeFileSync(tar, gzipSync(readFileSync(tar)).subarray(0, 200))
    await assert.rejects(
      open({ kind: 'archive', path: tar, origin: 'stdin' }),
      (error) => error instanceof ContextError && error.code === 'context-invalid',
    )
  })

  it('takes what a URL gives as archive, as Dockerfile, or for a named context as a file', async () => {
    served.set('/c.tgz', gzipSync(readFileSync(tar)))
    served.set('/Dockerfile', Buffer.from('FROM x\n'))
    const archive = await open({ kind: 'http', url: `${base}/c.tgz` })
    assert.deepEqual(await names(archive), ['.dockerignore', 'Dockerfile', 'd', 'ignored', 'out'])
    const text = await open({ kind: 'http', url: `${base}/Dockerfile` })
    assert.equal(text.dockerfileText, 'FROM x\n')
    const named = await open({ kind: 'http', url: `${base}/c.tgz` }, { isNamed: true })
    const entry = await named.tree(never).lookup('context')
    assert.deepEqual([await names(named), entry?.mode, entry?.mtimeSec], [['context'], 0o600, 0])
    await assert.rejects(open({ kind: 'http', url: `${base}/nope` }), CopyError)
  })

  it('checks a repository out for the Dockerfile of a new commit only', async function () {
    this.timeout(30_000)
    await using repositories = await serveGit(directory, 'me:secret')
    const bare = join(directory, 'r.git')
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
        cwd: join(directory, 'source'),
      })
    const commit = (text: string): void => {
      writeFileSync(join(directory, 'source', 'Dockerfile'), text)
      git('add', 'Dockerfile')
      git('commit', '-qm', text)
      git('push', '-q', bare, 'HEAD:refs/heads/main')
    }
    git('init', '-q', '--bare', '-b', 'main', bare)
    git('init', '-q', '-b', 'main')
    const checkouts = (): number => readdirSync(join(directory, 'work')).length
    const read = async (): Promise<string | undefined> => {
      const url = `http://me:secret@${repositories.host}/r.git#main`
      return await (await open({ kind: 'git', url })).readText('Dockerfile')
    }
    commit('FROM one\n')
    assert.deepEqual([await read(), await read(), checkouts()], ['FROM one\n', 'FROM one\n', 1])
    commit('FROM two\n')
    assert.deepEqual([await read(), checkouts()], ['FROM two\n', 2])
  })

  it('refuses URLs of repositories that it cannot read', async () => {
    await assert.rejects(open({ kind: 'git', url: 'https://h/r.git?nope=1' }), /unexpected query/)
  })
})

describe('classifyInput', () => {
  it('tells archives from Dockerfiles', () => {
    assert.equal(classifyInput(new Uint8Array()), 'empty')
    assert.equal(classifyInput(Buffer.from('FROM scratch')), 'dockerfile')
    assert.equal(classifyInput(gzipSync('x')), 'archive')
    assert.equal(classifyInput(Buffer.from('BZh9')), 'archive')
    assert.equal(classifyInput(Buffer.alloc(1024)), 'dockerfile')
  })
})

describe('readDockerfile', () => {
  const read = (path: string, files: Readonly<Record<string, string>>): Promise<unknown> =>
    readDockerfile(path, (name) => Promise.resolve(files[name]))

  it('tries the lower-case name for Dockerfile only', async () => {
    const files = { 'x/dockerfile': 'FROM a', other: 'FROM b', 'other.dockerignore': 'c' }
    assert.deepEqual(await read('x/Dockerfile', files), {
      text: 'FROM a',
      name: 'x/dockerfile',
      ignoreText: undefined,
    })
    assert.deepEqual(await read('other', files), { text: 'FROM b', name: 'other', ignoreText: 'c' })
    await assert.rejects(read('Other', files), /failed to read dockerfile.*Other/)
  })

  it('names a Dockerfile that is a directory', async () => {
    await assert.rejects(readDockerfile(tmpdir(), hostReader('/')), {
      code: 'context-invalid',
      message: /it is a directory/,
    })
  })

  it('reads of what has no end only as much as tells that it is too large', async () => {
    await assert.rejects(readDockerfile('/dev/zero', hostReader('/')), {
      code: 'context-too-large',
    })
  })
})
