import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kernel } from '../../snapshotter/index.ts'
import { GitTree } from './git-tree.ts'

describe('GitTree', function () {
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
  })
  after(() => rmSync(directory, { recursive: true }))

  const open = (keepGitDir = false): Promise<GitTree> =>
    GitTree.open(
      {
        remote: `file://${join(directory, 'repository')}`,
        ref: 'main',
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
        env: { PATH: process.env['PATH'] },
        readSecret: () => Promise.resolve(undefined),
        signal: new AbortController().signal,
        protocols: ['file'],
      },
    )

  it('is known by its commit before anything is checked out', async () => {
    const tree = await open()
    assert.equal(tree.identity, (await open()).identity)
    assert.notEqual(tree.identity, (await open(true)).identity)
    assert.deepEqual(readdirSync(work), [])
  })

  it('is checked out once, when a file is looked at', async () => {
    const tree = await open()
    const [entries, found] = await Promise.all([tree.list(''), tree.lookup('a')])
    assert.deepEqual([entries.map(({ path }) => path), found?.type], [['a'], 'file'])
    assert.equal(readdirSync(work).length, 1)
    const source = tree.source('a')
    assert.ok(source.kind === 'path' && source.root === (await tree.checkout()).root)
  })
})
