import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { COMMANDS } from './command-table.ts'

const MAIN = fileURLToPath(new URL('main.js', import.meta.url))
/** What `main.js` starts when there is no bundle: every module is seen. */
const MODULES = fileURLToPath(new URL('cli.js', import.meta.url))

function tsbuild(
  args: readonly string[],
  options: { readonly input?: string; readonly nodeArgs?: readonly string[] } = {},
) {
  return spawnSync(process.execPath, [...(options.nodeArgs ?? []), MAIN, ...args], {
    encoding: 'utf8',
    input: options.input ?? '',
  })
}

/** URLs of the files that a command loads. Module hooks run in a thread of their own and see every one. */
function loadedFiles(args: readonly string[], directory: string): string[] {
  const hook = join(directory, 'hook.mjs')
  writeFileSync(
    hook,
    "import { appendFileSync } from 'node:fs'\nexport async function load(url, context, next) { appendFileSync(process.env.LOADED, url + '\\n'); return next(url, context) }\n",
  )
  const register = join(directory, 'register.mjs')
  writeFileSync(register, `import { register } from 'node:module'\nregister('file://${hook}')\n`)
  const loaded = join(directory, 'loaded')
  writeFileSync(loaded, '')
  const { status, stderr } = spawnSync(process.execPath, ['--import', register, MODULES, ...args], {
    encoding: 'utf8',
    env: { ...process.env, LOADED: loaded },
  })
  assert.equal(status, 0, stderr)
  return readFileSync(loaded, 'utf8')
    .split('\n')
    .filter((url) => url.startsWith('file:') && !url.includes(directory))
}

describe('the command line', () => {
  it('shows one screen of help when nothing is asked', () => {
    const { stdout, status } = tsbuild([])
    assert.equal(status, 0)
    assert.ok(stdout.split('\n').length <= 40, `${stdout.split('\n').length} lines`)
    for (const { name } of COMMANDS) {
      assert.match(stdout, new RegExp(`^  ${name} `, 'm'))
    }
  })

  it('loads nothing heavy for the help', () => {
    const directory = mkdtempSync(join(tmpdir(), 'tsbuild-modules-'))
    try {
      const files = loadedFiles(['--help'], directory)
      assert.ok(files.length > 3, files.join('\n'))
      assert.ok(files.length <= 14, files.join('\n'))
      assert.doesNotMatch(files.join('\n'), /node_modules|registry-client|snapshotter|frontend/)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  it('loads no http client, no tar library and no worker for the version and a cached build', () => {
    const directory = mkdtempSync(join(tmpdir(), 'tsbuild-modules-'))
    try {
      const context = join(directory, 'context')
      mkdirSync(context)
      writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY . /files\nWORKDIR /work\n')
      const build = ['--root', join(directory, 'state'), '-q', '-t', 'x', context]
      const first = tsbuild(build)
      assert.equal(first.status, 0, first.stderr)
      for (const args of [build, ['version']]) {
        const files = loadedFiles(args, directory)
        assert.ok(files.length > 3, files.join('\n'))
        const heavy = files.filter((file) =>
          /undici|tar-stream|streamx|fast-glob|worker\/(?:main|worker|run|pack|unpack)\.js/.test(
            file,
          ),
        )
        assert.deepEqual(heavy, [], args.join(' '))
      }
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }).timeout(60_000)

  it('has a help for every command', () => {
    for (const { name } of COMMANDS) {
      const { stdout, status, stderr } = tsbuild([name, '--help'])
      assert.equal(status, 0, stderr)
      assert.match(stdout, new RegExp(`^Usage:  tsbuild ${name}`), name)
    }
  }).timeout(60_000)

  it('ends wrong usage with status 2 and says what is wrong', () => {
    const cases: [string[], RegExp][] = [
      [['build', '--tga', 'x', '.'], /unknown flag: --tga; did you mean --tag\?/],
      [['build'], /requires 1 argument/],
      [['ctx', '--target'], /flag needs an argument: --target/],
      [['build', '--provenance=mode=max', '.'], /attestations are not supported/],
      [['build', '-q', '--progress', 'plain', '.'], /cannot be used together/],
      [['help', 'imges'], /did you mean images/],
      [['imags'], /unknown command: imags; did you mean images\?/],
      [['buidl', '.'], /unknown command: buidl; did you mean build\?/],
      [['tag', 'x'], /requires 2 arguments/],
      [['run'], /requires at least 1 argument,/],
      [['run', '-w', 'src', 'app'], /"src" for "--workdir" flag: it must be an absolute path/],
    ]
    for (const [args, message] of cases) {
      const { status, stderr } = tsbuild(args)
      assert.equal(status, 2, `${args.join(' ')}: ${stderr}`)
      assert.match(stderr, message)
    }
  }).timeout(60_000)

  it('says that its output cannot be written, and goes on when its log cannot', () => {
    const full = openSync('/dev/full', 'w')
    try {
      const help = spawnSync(process.execPath, [MAIN, 'build', '--help'], {
        encoding: 'utf8',
        stdio: ['ignore', full, 'pipe'],
      })
      assert.equal(help.status, 1)
      assert.match(help.stderr, /^ERROR: could not write to standard output: ENOSPC.*\nHINT: .*\n$/)
      const unknown = spawnSync(process.execPath, [MAIN, 'build', '--help', '--frob'], {
        stdio: ['ignore', 'pipe', full],
      })
      assert.equal(unknown.status, 2)
    } finally {
      closeSync(full)
    }
  })

  it('ends a build that cannot be done with status 1', () => {
    const { status, stderr } = tsbuild(['build', '/no/such/dir'])
    assert.equal(status, 1)
    assert.match(stderr, /ERROR: .*"\/no\/such\/dir" not found/)
  })

  it('says where the names of stages are, when there is none of that name', () => {
    const root = mkdtempSync(join(tmpdir(), 'tsbuild-target-'))
    try {
      const { status, stderr } = tsbuild(['build', '--root', root, '--target', 'production', '-'], {
        input: 'FROM scratch AS prod\n',
      })
      assert.equal(status, 1)
      assert.match(stderr, /ERROR: .*"production" could not be found\nHINT: .*--call=targets/)
    } finally {
      rmSync(root, { recursive: true })
    }
  })
})
