import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kernel } from '../../snapshotter/index.ts'
import { GitRepository } from './git-tree.ts'

describe('GitRepository', function () {
  this.timeout(30_000)
  let directory = ''
  let work = ''

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-git-tree-'))
    work = join(directory, 'work')
    const repository = join(directory, 'repository')
    for (const path of [work, repository]) mkdirSync(path)
    writeFileSync(join(repository, 'a'), '1')
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
        cwd: repository,
      })
    git('init', '-b', 'main')
    git('add', '.')
    git('commit', '-m', 'one')
    git('tag', 'v1')
  })
  after(() => rmSync(directory, { recursive: true }))

  const open = (
    keepGitDir = false,
    other: { readonly remote?: string; readonly path?: string; readonly ref?: string } = {},
  ): Promise<GitRepository> =>
    GitRepository.open(
      {
        remote: other.remote ?? `file://${join(directory, 'repository')}`,
        ref: other.ref ?? 'main',
        subdir: undefined,
        checksum: undefined,
        keepGitDir,
        submodules: true,
        mtime: 'checkout',
        fetchByCommit: false,
      },
      'the repository',
      {
        kernel,
        workDirectory: work,
        env: { PATH: [other.path ?? '', process.env['PATH']].join(':') },
        readSecret: () => Promise.resolve(undefined),
        sshAgent: () => Promise.resolve('/my/agent'),
        signal: new AbortController().signal,
        protocols: ['file', 'ssh'],
      },
    )

  it('is known by its commit before anything is checked out', async () => {
    const { identity } = await open()
    assert.equal(identity, (await open()).identity)
    assert.equal(identity, (await open(false, { ref: 'v1' })).identity)
    assert.notEqual(identity, (await open(true)).identity)
    assert.notEqual((await open(true)).identity, (await open(true, { ref: 'v1' })).identity)
    assert.deepEqual(readdirSync(work), [])
  })

  it('asks ssh hosts with the agent that the build was given', async () => {
    const bin = join(directory, 'bin')
    mkdirSync(bin)
    writeFileSync(join(bin, 'ssh'), '#!/bin/sh\necho "agent $SSH_AUTH_SOCK" >&2\nexit 1\n', {
      mode: 0o755,
    })
    const opening = open(false, { remote: 'git@host.example:o/r', path: bin })
    await assert.rejects(opening, /agent \/my\/agent/)
  })

  it('is checked out once, when a file is looked at', async () => {
    const repository = await open()
    const stopped = repository.tree(AbortSignal.abort())
    await assert.rejects(stopped.list(''), { name: 'AbortError' })
    const made = readdirSync(work).length
    const { signal } = new AbortController()
    const tree = repository.tree(signal)
    const [entries, found] = await Promise.all([tree.list(''), tree.lookup('a')])
    assert.deepEqual([entries.map(({ path }) => path), found?.type], [['a'], 'file'])
    assert.equal(readdirSync(work).length, made + 1)
    const source = tree.source({ root: '', path: 'a' })
    assert.ok(source.kind === 'path' && source.root === (await repository.checkout(signal)).root)
  })
})
