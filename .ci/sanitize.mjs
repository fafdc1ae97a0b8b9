// `npm run test:sanitize [-- address | thread]`: builds the addon with sanitizers beside the normal one and runs its tests on
// it. Needs gcc with libasan, libubsan and libtsan. A finding ends the tests with a report.
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { headersOption, prepare } from './prepare.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const TESTS = 'dist/snapshotter/{native,layer}/*.test.js'

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
function makePackage(kind) {
  const place = mkdtempSync(join(tmpdir(), `tsbuild-${kind}-`))
  process.on('exit', () => rmSync(place, { recursive: true, force: true }))
  mkdirSync(join(place, 'snapshotter'), { recursive: true })
  cpSync(join(root, 'package.json'), join(place, 'package.json'))
  for (const folder of ['snapshotter', 'registry-client']) {
    cpSync(join(root, 'dist', folder), join(place, 'dist', folder), { recursive: true })
  }
  for (const part of ['src', 'sandbox-init', 'binding.gyp']) {
    const target = join(place, 'snapshotter', 'native', part)
    cpSync(join(root, 'snapshotter', 'native', part), target, { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'))
  return place
}

function test(kind) {
  const { flag, libraries, env } = KINDS[kind]
  const place = makePackage(kind)
  const gyp = join(root, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js')
  const native = join(place, 'snapshotter', 'native')
  run(process.execPath, [gyp, 'configure', '-C', native, flag, ...headersOption()])
  run('make', ['-s', '-j2', 'BUILDTYPE=Release', '-C', join(native, 'build'), 'tsbuild'])
  const preload = libraries.map((library) =>
    execFileSync('gcc', [`-print-file-name=${library}`], { encoding: 'utf8' }).trim(),
  )
  const mocha = join(root, 'node_modules', 'mocha', 'bin', 'mocha.js')
  console.error(`${kind} sanitizer: ${TESTS}`)
  // Without random addresses: the thread sanitizer does not know all layouts of newer kernels.
  const args = ['-R', process.execPath, mocha, '--no-config', '--timeout', '600000', TESTS]
  run('setarch', args, {
    cwd: place,
    env: { ...process.env, ...env, LD_PRELOAD: preload.join(' ') },
  })
}

prepare()
for (const kind of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(KINDS)) {
  if (!(kind in KINDS)) {
    console.error(`no such sanitizer: ${kind} (known: ${Object.keys(KINDS).join(', ')})`)
    process.exit(2)
  }
  test(kind)
}
