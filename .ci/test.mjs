// `npm test`: prepares the checkout, the programs and base images that the tests need, then runs mocha.
// Arguments are given to mocha (`npm test -- --grep heredoc`). `--coverage` first: under c8.
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { needPrograms, prepare, run } from './prepare.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Programs the tests talk to, with the Debian package that has each. */
const PROGRAMS = {
  'docker-registry': 'docker-registry',
  nginx: 'nginx-light',
  debootstrap: 'debootstrap',
  busybox: 'busybox-static',
  skopeo: 'skopeo',
  umoci: 'umoci',
  runc: 'runc',
  newuidmap: 'uidmap',
  git: 'git',
  bzip2: 'bzip2',
  xz: 'xz-utils',
  zstd: 'zstd',
  setcap: 'libcap2-bin',
  getfattr: 'attr',
  setpriv: 'util-linux',
  script: 'bsdutils',
  strace: 'strace',
  pasta: 'passt',
  slirp4netns: 'slirp4netns',
  ip: 'iproute2',
}

const MOCHA = join(root, 'node_modules', 'mocha', 'bin', 'mocha.js')
const C8 = join(root, 'node_modules', 'c8', 'bin', 'c8.js')

process.chdir(root)
prepare()
if (process.getuid?.() === 0) needPrograms(PROGRAMS)
run(process.execPath, [join(root, 'dist', 'builder', 'e2e', 'lab', 'setup.js')])
const args = process.argv.slice(2)
const coverage = args[0] === '--coverage'
if (coverage) args.shift()
const files = args.some((arg) => arg.endsWith('.js')) ? [] : ['dist/**/*.test.js']
const mocha = [MOCHA, '--reporter', join(root, '.ci', 'reporter.cjs'), ...args, ...files]
const c8 = [
  C8,
  '--all=false',
  // The bundle holds packages too: what is ours is told by the sources.
  '--exclude-after-remap',
  ...['**/*.test.js', '**/*.test.ts', '**/node_modules/**'].flatMap((name) => ['--exclude', name]),
  ...['--reporter', 'text-summary', '--check-coverage'],
  ...['--lines', '90', '--branches', '85', '--functions', '85'],
  process.execPath,
]
const result = spawnSync(process.execPath, coverage ? [...c8, ...mocha] : mocha, {
  stdio: 'inherit',
})
process.exit(result.status ?? 1)
