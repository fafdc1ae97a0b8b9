// `npm run release [-- DIRECTORY]`: an npm package for this kind of machine with everything compiled in it, so that
// `npm install -g ./tsbuild-….tgz` needs no compiler, no network and no other package.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { prepare, run } from './prepare.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const NATIVE = 'snapshotter/native/build/Release'
const NOT_SHIPPED =
  /(\.test\.js|\.map|\.tsbuildinfo|\.d\.ts)$|^(dist\/bench|dist\/builder\/e2e)\b|\/testing\b/

/** Copies of the compiled programs; maps and tests stay here. */
function copyPrograms(place) {
  const filter = (source) => !NOT_SHIPPED.test(relative(root, source))
  cpSync(join(root, 'dist'), join(place, 'dist'), { recursive: true, filter })
  for (const name of ['docs', 'README.md', 'LICENSE']) {
    cpSync(join(root, name), join(place, name), { recursive: true })
  }
}

/** The native parts, and ISA-L beside the addon, which looks for it there first (binding.gyp). */
function copyNative(place) {
  mkdirSync(join(place, NATIVE), { recursive: true })
  const addon = join(root, NATIVE, 'tsbuild.node')
  for (const file of [addon, join(root, NATIVE, 'sandbox-init')]) {
    cpSync(file, join(place, relative(root, file)))
  }
  const needed = spawnSync('ldd', [addon], { encoding: 'utf8' }).stdout ?? ''
  const isal = /(libisal\.so\.\d+) => (\S+)/.exec(needed)
  if (isal) cpSync(isal[2], join(place, NATIVE, isal[1]), { dereference: true })
}

/** Everything is in the bundle: the package depends on nothing, and is for machines like this one. */
function writePackageJson(place) {
  const whole = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const { name, version, description, license, type, bin, engines } = whole
  const json = { name, version, description, license, type, bin, engines }
  const machine = { os: [process.platform], cpu: [process.arch], libc: ['glibc'] }
  writeFileSync(
    join(place, 'package.json'),
    `${JSON.stringify({ ...json, ...machine }, null, 2)}\n`,
  )
  return `${name}-${version}-${process.platform}-${process.arch}.tgz`
}

/** Makes the package of what is compiled, in `directory`; prints its path. */
export function release(directory) {
  const work = mkdtempSync(join(tmpdir(), 'tsbuild-release-'))
  try {
    const place = join(work, 'package')
    mkdirSync(place)
    copyPrograms(place)
    copyNative(place)
    const file = join(directory, writePackageJson(place))
    mkdirSync(directory, { recursive: true })
    // npm takes any archive whose files lie in one folder; `npm pack` would look at .gitignore and leave the rest out.
    const owner = ['--owner=0', '--group=0', '--numeric-owner', '--sort=name']
    run('tar', ['-czf', file, ...owner, '-C', work, 'package'])
    console.log(file)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  prepare()
  release(resolve(process.argv[2] ?? join(root, 'release')))
}
