import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url))

describe('tsbuild check', function () {
  this.timeout(20_000)
  let directory = ''
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-check-'))
    mkdirSync(join(directory, 'app'))
    writeFileSync(join(directory, 'app', 'Dockerfile'), 'FROM scratch\nLABEL a=b\n')
    writeFileSync(join(directory, 'app', 'other'), 'FROM scratch\nCOPY id_rsa /\nCMD $x\n')
    writeFileSync(join(directory, 'app', 'remote'), 'FROM 127.0.0.1:1/x\nCMD ["$x"]\nUSER $x\n')
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  function check(...args: readonly string[]) {
    return spawnSync(process.execPath, [MAIN, 'check', ...args], {
      encoding: 'utf8',
      cwd: directory,
      env: { ...process.env, TSBUILD_ROOT: join(directory, 'root') },
    })
  }

  it('ends with status 0 when nothing is found, 1 when something is, 2 for wrong usage', () => {
    const clean = check('app')
    assert.deepEqual([clean.status, clean.stdout], [0, 'app/Dockerfile: nothing found\n'])
    const { status, stdout } = check('-f', 'app/other', 'app')
    assert.equal(status, 1)
    assert.match(stdout, /^app\/other:2:1: warning: .* \[SecretFileCopied\]\n/)
    assert.match(stdout, /\napp\/other: 2 warnings\n$/)
    assert.equal(check('--format', 'xml', 'app').status, 2)
  })

  it('takes a Dockerfile for its argument, and skips what a build argument says', () => {
    const { stdout } = check(
      '--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=JSONArgsRecommended',
      'app/other',
    )
    assert.match(stdout, /\napp\/other: 1 warning\n$/)
  })

  it('writes JSON and SARIF', () => {
    for (const format of ['json', 'sarif']) {
      const { status, stdout } = check('--format', format, 'app/other')
      assert.equal(status, 1)
      assert.match(JSON.stringify(JSON.parse(stdout)), /SecretFileCopied/)
    }
  })

  it('says which Dockerfile is not there, and how to name one', () => {
    const { status, stderr } = check('-f', 'nope', 'app')
    assert.equal(status, 1)
    assert.match(
      stderr,
      /^ERROR: failed to check: .*: could not open \S*\/nope: no such file or directory\nHINT: -f /,
    )
  })

  it('checks what can be checked when a base image cannot be had', () => {
    const { status, stdout, stderr } = check('app/remote')
    assert.deepEqual([status, stdout], [0, 'app/remote: nothing found\n'])
    assert.match(stderr, /^NOTE: could not look at 127\.0\.0\.1:1\/x:latest: /m)
  })
})

describe('tsbuild build --check and --call', function () {
  this.timeout(20_000)
  let directory = ''
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-call-'))
    mkdirSync(join(directory, 'app'))
    writeFileSync(join(directory, 'app', 'Dockerfile'), 'from scratch\nCOPY Dockerfile /\n')
    writeFileSync(join(directory, 'other'), 'from scratch\nCOPY other /\n')
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  function build(args: readonly string[], input = '') {
    return spawnSync(process.execPath, [MAIN, 'build', ...args], {
      encoding: 'utf8',
      cwd: directory,
      input,
      env: { ...process.env, TSBUILD_ROOT: join(directory, 'root'), BUILDKIT_PROGRESS: 'quiet' },
    })
  }

  it('shows where the Dockerfile is from here, in JSON only its name', () => {
    const place = (...args: string[]) => /^(\S+):1$/m.exec(build(['--check', ...args]).stdout)?.[1]
    assert.equal(place('./app/'), 'app/Dockerfile')
    assert.equal(place('-f', './other', 'app'), 'other')
    assert.match(
      build(['--check', '-f', '-', 'app'], 'from scratch\nCOPY x /\n').stdout,
      /^stdin:1$/m,
    )
    const { stdout } = build(['--call=check,format=json', 'app'])
    assert.match(stdout, /"filename": "Dockerfile"/)
  })

  it('refuses options of --call that it does not know', () => {
    for (const [options, reason] of [
      ['check,fromat=json', 'unknown key "fromat"'],
      ['check,json', 'unknown key "json"'],
      ['check,format=xml', 'unknown format "xml"'],
      ['check,ignorestatus=perhaps', 'ignorestatus must be true or false'],
    ]) {
      const { status, stdout, stderr } = build([`--call=${options}`, 'app'])
      assert.deepEqual([status, stdout], [2, ''])
      assert.ok(stderr.includes(`"${options}" for "--call" flag: ${reason}`), stderr)
    }
  })

  it('writes nothing where there is nothing to tell', () => {
    const { status, stdout } = build(['--call=outline', 'app'])
    assert.deepEqual([status, stdout], [0, ''])
  })

  it('writes the image id only when a flag asks for it', () => {
    assert.equal(build(['-o', 'type=cacheonly', 'app']).stdout, '')
    assert.match(build(['-q', '-o', 'type=cacheonly', 'app']).stdout, /^sha256:[0-9a-f]{64}\n$/)
  })
})
