// `npm run test:sanitize [-- [--quick] sandbox | address | thread]`: builds sandbox-init, then the addon, with sanitizers
// beside the normal ones and runs their tests on them; with `--quick` (CI) of the addon's those of archives, packing and making, and
// few random runs. Needs gcc with libasan, libubsan and libtsan. A finding ends the tests with a report.
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { headersOption, prepare } from './prepare.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
// No braces: mocha does not know them.
const TESTS = [
  ...['native', 'layer'].map((folder) => `dist/snapshotter/${folder}/*.test.js`),
  'dist/snapshotter/copy/apply-layer.test.js',
]
const QUICK_TESTS = [
  ...[
    'bad-archives',
    'packer',
    'read-archive',
    'read-contents',
    'taken-over',
    'trees',
    'unpack',
  ].map((name) => `native/${name}`),
  ...['diff', 'round-trip'].map((name) => `layer/${name}`),
  'copy/apply-layer',
].map((name) => `dist/snapshotter/${name}.test.js`)
/** Random runs of each property with `--quick`. */
const QUICK_RUNS = '5'
const SANDBOX_TESTS = [
  ...['execute', 'fuzz-spec'].map((name) => `dist/builder/sandbox/${name}.test.js`),
  ...['sandbox', 'sandbox-files', 'no-namespaces'].map(
    (name) => `dist/builder/worker/${name}.test.js`,
  ),
]

/** tar(1) and others that tests start have nothing to do with the libraries, and some end because of them. */
const NOT_FOR_CHILDREN = 'data:text/javascript,delete process.env.LD_PRELOAD'

/** Libraries that must be there before node starts, and how findings end the process. */
const KINDS = {
  address: {
    flag: '--sanitize=1',
    libraries: ['libasan.so', 'libubsan.so'],
    env: {
      // Node itself keeps what it never frees.
      ASAN_OPTIONS: 'detect_leaks=0:halt_on_error=1',
      UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    },
  },
  thread: {
    flag: '--sanitize=thread',
    libraries: ['libtsan.so'],
    // Node is not compiled with it: only what happens in the addon can be judged.
    env: { TSAN_OPTIONS: 'halt_on_error=1:ignore_noninstrumented_modules=1' },
  },
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { stdio: 'inherit', ...options })
  if (result.status !== 0) process.exit(result.status ?? 1)
}

/** A package of its own, because an addon is found beside the compiled modules. */
function makePackage(kind, folders) {
  const place = mkdtempSync(join(tmpdir(), `tsbuild-${kind}-`))
  process.on('exit', () => rmSync(place, { recursive: true, force: true }))
  mkdirSync(join(place, 'snapshotter'), { recursive: true })
  cpSync(join(root, 'package.json'), join(place, 'package.json'))
  for (const folder of folders) {
    cpSync(join(root, 'dist', folder), join(place, 'dist', folder), { recursive: true })
  }
  for (const part of ['src', 'sandbox-init', 'binding.gyp']) {
    const target = join(place, 'snapshotter', 'native', part)
    cpSync(join(root, 'snapshotter', 'native', part), target, { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'))
  return place
}

/** sandbox-init is one program: compiled at once, with its warnings as errors, and run by the tests of steps. */
function testSandbox() {
  const place = makePackage('sandbox', ['snapshotter', 'registry-client', 'builder', 'frontend'])
  const native = join(place, 'snapshotter', 'native')
  const built = join(native, 'build', 'Release')
  mkdirSync(built, { recursive: true })
  const addon = join('snapshotter', 'native', 'build', 'Release', 'tsbuild.node')
  cpSync(join(root, addon), join(place, addon))
  const folder = join(native, 'sandbox-init')
  const sources = readdirSync(folder).filter((name) => name.endsWith('.c'))
  const defines = ['-D_GNU_SOURCE', '-D_FILE_OFFSET_BITS=64']
  const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-g', '-O1']
  const flags = ['-std=gnu11', '-Wall', '-Wextra', '-Werror', ...defines, ...sanitizers]
  const output = ['-o', join(built, 'sandbox-init')]
  run('cc', [...flags, ...output, ...sources, 'testing/sanitizer-options.c'], { cwd: folder })
  console.error(`sandbox-init with sanitizers: ${SANDBOX_TESTS.join(' ')}`)
  const mocha = join(root, 'node_modules', 'mocha', 'bin', 'mocha.js')
  const args = [mocha, '--no-config', '--timeout', '600000', ...SANDBOX_TESTS]
  run(process.execPath, args, { cwd: place })
}

/**
 * Without random addresses: the thread sanitizer does not know all layouts of newer kernels. Containers may forbid that; where
 * the sanitizer then complains about the memory, `sysctl vm.mmap_rnd_bits=28` helps.
 */
function withoutRandomAddresses(command) {
  const canDo = spawnSync('setarch', ['-R', 'true'], { stdio: 'ignore' }).status === 0
  return canDo ? ['setarch', '-R', ...command] : command
}

function test(kind, isQuick) {
  const { flag, libraries, env } = KINDS[kind]
  const place = makePackage(kind, ['snapshotter', 'registry-client'])
  const gyp = join(root, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js')
  const native = join(place, 'snapshotter', 'native')
  run(process.execPath, [gyp, 'configure', '-C', native, flag, ...headersOption()])
  // Less optimised: what the sanitizers add is slow to compile otherwise.
  const make = ['-s', '-j2', 'BUILDTYPE=Release', 'CXXFLAGS=-O1', '-C', join(native, 'build')]
  run('make', [...make, 'tsbuild'])
  const preload = libraries.map((library) =>
    execFileSync('gcc', [`-print-file-name=${library}`], { encoding: 'utf8' }).trim(),
  )
  const mocha = join(root, 'node_modules', 'mocha', 'bin', 'mocha.js')
  const tests = isQuick ? QUICK_TESTS : TESTS
  console.error(`${kind} sanitizer: ${tests.join(' ')}`)
  const [command, ...args] = withoutRandomAddresses([
    ...[process.execPath, '--import', NOT_FOR_CHILDREN],
    ...[mocha, '--no-config', '--timeout', '600000', '--reporter', 'dot'],
    ...tests,
  ])
  const runs = isQuick ? { TSBUILD_PROPERTY_RUNS: QUICK_RUNS } : {}
  run(command, args, {
    cwd: place,
    env: {
      ...{ ...process.env, ...runs, ...env },
      ...{ LD_PRELOAD: preload.join(' '), TSBUILD_SANITIZER_PRELOAD: preload.join(' ') },
    },
  })
}

prepare()
const known = ['sandbox', ...Object.keys(KINDS)]
const wanted = process.argv.slice(2)
const isQuick = wanted.includes('--quick')
const kinds = wanted.filter((word) => word !== '--quick')
for (const kind of kinds.length > 0 ? kinds : known) {
  if (!known.includes(kind)) {
    console.error(`no such sanitizer: ${kind} (known: ${known.join(', ')})`)
    process.exit(2)
  }
  if (kind === 'sandbox') testSandbox()
  else test(kind, isQuick)
}
