import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CopyError } from './copy-errors.ts'
import { checkoutGit, type GitCheckout, type GitRequest } from './git.ts'
import type { GitOptions } from './git-command.ts'
import { serveFiles, serveGit } from './testing/git-server.ts'

describe('checkoutGit', function () {
  // Each test runs git some ten times.
  this.timeout(60_000)

  let directory = ''
  let remote = ''
  const commits: string[] = []

  const git = (...args: string[]): string =>
    execFileSync(
      'git',
      ['-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'protocol.file.allow=always', ...args],
      {
        cwd: join(directory, 'repository'),
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    ).trim()

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-git-'))
    const repository = join(directory, 'repository')
    remote = `file://${repository}`
    mkdirSync(repository)
    git('init', '-b', 'trunk')
    writeFileSync(join(repository, 'a'), '1')
    git('add', '.')
    git('commit', '-m', 'one')
    git('tag', 'v1')
    git('tag', '-a', '-m', 'annotated', 'v1a')
    commits.push(git('rev-parse', 'HEAD'))
    writeFileSync(join(repository, 'a'), '2')
    mkdirSync(join(repository, 'sub'))
    writeFileSync(join(repository, 'sub', 'run'), '#!', { mode: 0o755 })
    symlinkSync('/etc', join(repository, 'out'))
    git('add', '.')
    git('commit', '-m', 'two')
    commits.push(git('rev-parse', 'HEAD'))
  })

  after(() => rmSync(directory, { recursive: true }))

  const request = (changes: Partial<GitRequest>): GitRequest => ({
    remote,
    ref: undefined,
    subdir: undefined,
    checksum: undefined,
    keepGitDir: false,
    submodules: true,
    mtime: 'checkout',
    fetchByCommit: false,
    ...changes,
  })
  const options = (protocols: readonly string[]): GitOptions => ({
    workDirectory: directory,
    env: { PATH: process.env['PATH'] },
    authorization: undefined,
    signal: new AbortController().signal,
    protocols,
  })
  const checkout = (changes: Partial<GitRequest>, protocols = ['file']): Promise<GitCheckout> =>
    checkoutGit(request(changes), options(protocols))

  const fails = async (
    changes: Partial<GitRequest>,
    words: RegExp,
    protocols?: string[],
  ): Promise<void> => {
    await assert.rejects(checkout(changes, protocols), (error) => {
      assert(error instanceof CopyError)
      assert.match(error.message, words)
      return true
    })
  }

  it('checks out the default branch without .git, with modes that do not depend on the umask', async () => {
    const umask = process.umask(0o077)
    const { root, commit } = await checkout({})
    process.umask(umask)
    assert.equal(commit, commits[1])
    assert.deepEqual(readdirSync(root).sort(), ['a', 'out', 'sub'])
    assert.equal(statSync(join(root, 'a')).mode & 0o777, 0o644)
    assert.equal(statSync(join(root, 'sub/run')).mode & 0o777, 0o755)
  })

  it('checks out tags, branches and commits', async () => {
    for (const ref of ['v1', 'refs/tags/v1', 'v1a', commits[0]]) {
      const { root } = await checkout({ ref })
      assert.equal(readFileSync(join(root, 'a'), 'utf8'), '1')
    }
    assert.equal((await checkout({ ref: 'trunk' })).commit, commits[1])
  })

  it('compares the commit with a checksum', async () => {
    await checkout({ ref: 'v1', checksum: commits[0]?.slice(0, 8) })
    await checkout({ ref: 'v1a', checksum: commits[0] })
    await fails({ ref: 'v1', checksum: commits[1] }, /expected checksum to match/)
    await fails({ checksum: 'xyz' }, /invalid checksum/)
  })

  it('fetches the commit that the checksum is, whatever the ref leads to, when asked', async () => {
    const { commit } = await checkout({ ref: 'trunk', checksum: commits[0], fetchByCommit: true })
    assert.equal(commit, commits[0])
    await fails({ ref: 'trunk', checksum: commits[0] }, /expected checksum to match/)
  })

  it('gives files the time of the commit when asked', async () => {
    const { root, timeSec } = await checkout({ mtime: 'commit' })
    assert.equal(timeSec, Number(git('log', '-1', '--format=%ct')))
    for (const name of ['a', 'sub', 'sub/run', 'out']) {
      assert.equal(lstatSync(join(root, name)).mtimeMs / 1000, timeSec)
    }
  })

  it('keeps .git when asked, with the ref under its name and no trace of the fetch', async () => {
    const kept = async (ref?: string): Promise<string> => {
      const { root, commit } = await checkout({ keepGitDir: true, ref })
      assert(!readdirSync(join(root, '.git')).includes('FETCH_HEAD'))
      assert.equal(git('-C', root, 'reflog'), '')
      assert.equal(git('-C', root, 'rev-parse', '--symbolic-full-name', 'HEAD'), 'HEAD')
      const format = '--format=%(refname) %(objectname)'
      const refs = git('-C', root, 'for-each-ref', format, 'refs/heads', 'refs/tags')
      return refs.replace(commit, 'COMMIT')
    }
    assert.equal(await kept(), 'refs/heads/trunk COMMIT')
    assert.equal(await kept('v1'), 'refs/tags/v1 COMMIT')
    assert.equal(await kept('v1a'), 'refs/tags/v1a COMMIT')
    assert.equal(await kept(commits[0]), '')
  })

  it('enters a subdirectory, but no symlink', async () => {
    const { root } = await checkout({ subdir: '/sub/' })
    assert.deepEqual(readdirSync(root), ['run'])
    await fails({ subdir: 'out' }, /not a directory/)
    await fails({ subdir: 'nope' }, /not found/)
    assert.deepEqual(readdirSync((await checkout({ subdir: '../../sub' })).root), ['run'])
  })

  it('names a ref that is not there', async () => {
    await fails({ ref: 'nope' }, /does not contain ref nope/)
    await fails(
      { remote: 'file:///nowhere/x.git' },
      /could not list the refs of file:.*: git failed/,
    )
  })

  it('keeps the login of a URL out of arguments and checkout, also of submodules (CVE-2023-26054)', async () => {
    const served = join(directory, 'served')
    const parent = join(directory, 'parent')
    const inParent = (...args: string[]): unknown => git('-C', parent, ...args)
    git('clone', '--bare', '.', join(served, 'sub.git'))
    git('init', '-b', 'trunk', parent)
    inParent('submodule', 'add', join(served, 'sub.git'), 'dep')
    inParent('config', '-f', '.gitmodules', 'submodule.dep.url', '../sub.git')
    inParent('add', '.')
    inParent('commit', '-m', 'with a submodule')
    git('clone', '--bare', parent, join(served, 'parent.git'))
    const programs = join(directory, 'programs')
    const log = join(directory, 'arguments')
    mkdirSync(programs)
    const program = `#!/bin/sh\necho "$@" >> ${log}\nPATH=\${PATH#*:} exec git "$@"\n`
    writeFileSync(join(programs, 'git'), program, { mode: 0o755 })
    await using server = await serveGit(served, 'user:p@ss')
    const { root } = await checkoutGit(
      request({ remote: `http://user:p%40ss@${server.host}/parent.git`, keepGitDir: true }),
      { ...options(['http']), env: { PATH: `${programs}:${process.env['PATH']}` } },
    )
    assert.equal(readFileSync(join(root, 'dep/a'), 'utf8'), '2')
    assert.match(
      readFileSync(join(root, '.git/config'), 'utf8'),
      /url = http:\/\/127\.0\.0\.1:\d+\/sub/,
    )
    assert.match(readFileSync(log, 'utf8'), /^-c .* submodule update/m)
    const found = spawnSync('grep', ['-rlE', 'user:|p@ss|p%40ss', root, log], { encoding: 'utf8' })
    assert.equal(found.stdout, '')
    const wrong = { remote: `http://user:wrong@${server.host}/parent.git` }
    await fails(wrong, /^(?!.*wrong)/s, ['http'])
  })

  it('takes the whole history from a server that only hands out files, of submodules too', async () => {
    const served = join(directory, 'dumb')
    const parent = join(directory, 'dumb-parent')
    mkdirSync(served)
    await using server = await serveFiles(served)
    const publish = (from: string, name: string): void => {
      git('clone', '--bare', from, join(served, name))
      git('-C', join(served, name), 'update-server-info')
    }
    publish('.', 'sub.git')
    git('init', '-b', 'trunk', parent)
    git('-C', parent, 'submodule', 'add', join(served, 'sub.git'), 'sub')
    git('-C', parent, 'config', '-f', '.gitmodules', 'submodule.sub.url', '../sub.git')
    git('-C', parent, 'commit', '-a', '-m', 'parent')
    publish(parent, 'parent.git')
    const whole = { remote: `http://${server.host}/parent.git` }
    const { root } = await checkout(whole, ['http'])
    assert.deepEqual(readdirSync(join(root, 'sub')).sort(), ['.git', 'a', 'out', 'sub'])
    const byCommit = {
      remote: `http://${server.host}/sub.git`,
      ref: commits[0],
      fetchByCommit: true,
    }
    assert.deepEqual(readdirSync((await checkout(byCommit, ['http'])).root), ['a'])
  })

  it('refuses what git could take for an option, a command or a local file', async () => {
    await fails({ ref: '--upload-pack=touch /tmp/x' }, /no name of a ref/)
    await fails({ remote: '--upload-pack=x' }, /no URL/)
    await fails({ remote: 'ext::sh -c id' }, /no URL/)
    await fails({}, /not allowed/, ['https'])
  })
})
