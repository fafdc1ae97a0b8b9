// Brings a checkout to the point where `dist/` and the native parts match the sources: installs packages, compiles
// TypeScript, builds the addon and sandbox-init. Does only what is out of date, so that a second call costs little.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stamps = join(root, 'node_modules', '.tsbuild')
const nativeDir = join(root, 'snapshotter', 'native')

/** Runs a command with its output on stderr; a failure ends the program with the command's status. */
export function run(command, args, options = {}) {
  const status = statusOf(command, args, options)
  if (status !== 0) process.exit(status)
}

/** As `run`; a failure is shown, and its status is the answer. */
function statusOf(command, args, { quiet = false, env = process.env }) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', quiet ? 'pipe' : 2, quiet ? 'pipe' : 2],
    maxBuffer: 1 << 28,
    env,
  })
  if (result.status === 0) return 0
  if (quiet) process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`)
  console.error(
    `${command} ${args.join(' ')} failed${result.error ? `: ${result.error.message}` : ''}`,
  )
  return result.status || 1
}

function onPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((dir) => existsSync(join(dir, program)))
}

/** Installs Debian packages when root; otherwise says in one line what is missing. */
export function needPrograms(packageOf) {
  const missing = [
    ...new Set(
      Object.entries(packageOf)
        .filter(([program]) => !onPath(program))
        .map(([, pkg]) => pkg),
    ),
  ]
  if (missing.length === 0) return
  if (process.getuid?.() !== 0 || !onPath('apt-get')) {
    console.error(`missing programs; install these Debian packages as root: ${missing.join(' ')}`)
    process.exit(1)
  }
  const status = installPackages(missing)
  if (status !== 0) process.exit(status)
}

/** apt-get install without recommends, with one `apt-get update` first. The status of the one that failed, or 0. */
export function installPackages(packages) {
  console.error(`installing Debian packages: ${packages.join(' ')}`)
  const options = { quiet: true, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...packages]
  return statusOf('apt-get', ['update', '-qq'], options) || statusOf('apt-get', install, options)
}

function hashOf(files) {
  const hash = createHash('sha256').update(process.version)
  for (const file of files) hash.update(file).update('\0').update(readFileSync(file)).update('\0')
  return hash.digest('hex')
}

/** Calls `work` when the inputs changed since it last succeeded or its result is missing. */
function whenChanged(name, inputs, results, work) {
  const stamp = join(stamps, name)
  const want = hashOf(inputs)
  const isFresh =
    existsSync(stamp) && readFileSync(stamp, 'utf8') === want && results.every(existsSync)
  if (isFresh) return
  work()
  mkdirSync(stamps, { recursive: true })
  writeFileSync(stamp, want)
}

function nativeSources() {
  const top = readdirSync(nativeDir).filter((name) => /\.(gyp|gypi)$/.test(name))
  const inner = ['src', 'sandbox-init'].flatMap((folder) =>
    readdirSync(join(nativeDir, folder)).map((name) => join(folder, name)),
  )
  return [...top, ...inner]
    .sort()
    .map((name) => join(nativeDir, name))
    .filter((path) => statSync(path).isFile())
}

/** The headers that lie beside this very node, so that node-gyp need not download them. */
export function headersOption() {
  const prefix = dirname(dirname(realpathSync(process.execPath)))
  const header = join(prefix, 'include', 'node', 'node_version.h')
  if (!existsSync(header)) return []
  const text = readFileSync(header, 'utf8')
  const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(text)?.[1]
  const version = `v${part('MAJOR')}.${part('MINOR')}.${part('PATCH')}`
  return version === process.version ? ['--nodedir', prefix] : []
}

const ISAL_HEADER = '/usr/include/isa-l/igzip_lib.h'

/** gzip by ISA-L is several times as fast as by zlib, so it is there when somebody compiles; without it zlib serves. */
function wantIsal() {
  if (existsSync(ISAL_HEADER) || process.platform !== 'linux') return
  if (process.getuid?.() !== 0 || !onPath('apt-get')) {
    console.error(
      'for faster gzip install the Debian package libisal-dev first; compiling without it',
    )
    return
  }
  if (installPackages(['libisal-dev']) !== 0) console.error('compiling without libisal-dev')
}

function sourcesOf(dir) {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
}

export function prepare() {
  const lock = join(root, 'package-lock.json')
  whenChanged(
    'packages',
    [join(root, 'package.json'), lock],
    [join(root, 'node_modules', 'typescript')],
    () => {
      console.error('installing npm packages')
      run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
    },
  )
  needPrograms({ python3: 'python3', make: 'make', 'g++': 'g++' })
  const release = join(nativeDir, 'build', 'Release')
  if (!existsSync(join(release, 'tsbuild.node'))) wantIsal()
  whenChanged(
    'native',
    [...nativeSources(), ...[ISAL_HEADER].filter(existsSync)],
    [join(release, 'tsbuild.node'), join(release, 'sandbox-init')],
    () => {
      console.error('compiling native parts')
      const gyp = join(root, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js')
      run(process.execPath, [gyp, 'rebuild', '-C', nativeDir, '-j', '2', ...headersOption()], {
        quiet: true,
      })
    },
  )
  const folders = ['builder', 'frontend', 'snapshotter', 'registry-client', 'bench']
  const sources = folders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => sourcesOf(join(root, folder)))
    .sort()
  whenChanged(
    'typescript',
    [
      join(root, 'tsconfig.json'),
      ...['bundle.mjs', 'code-cache.cjs'].map((name) => join(root, '.ci', name)),
      ...sources,
    ],
    [join(root, 'dist', 'bundle', 'cli.cjs')],
    () => {
      console.error('compiling TypeScript')
      run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', root])
      run(process.execPath, [join(root, '.ci', 'bundle.mjs')])
    },
  )
}

if (process.argv[1] === fileURLToPath(import.meta.url)) prepare()
