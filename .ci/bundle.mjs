// Bundles the two programs (command line, worker) out of the compiled modules: one file each in dist/bundle/, and beside
// it the code that V8 made of it, so that starting a program neither looks for modules nor compiles (builder/program.ts).
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const compiled = join(root, 'dist', 'builder')
const outdir = join(root, 'dist', 'bundle')

const BANNER = `
const moduleUrl = require('node:url').pathToFileURL(__filename).href;
const late = (name) => new Proxy({}, { get: (_, key) => require(name)[key] });`

export async function bundle() {
  rmSync(outdir, { recursive: true, force: true })
  await build({
    absWorkingDir: root,
    entryPoints: {
      cli: join(compiled, 'cli', 'cli.js'),
      worker: join(compiled, 'worker', 'worker.js'),
    },
    outdir,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    // CommonJS: the loader of ES modules takes longer than most of our modules. What is imported lazily is evaluated lazily.
    format: 'cjs',
    supported: { 'dynamic-import': false },
    define: { 'import.meta.url': 'moduleUrl' },
    banner: { js: BANNER },
    platform: 'node',
    target: 'node20.19',
    sourcemap: true,
    logLevel: 'warning',
    plugins: [{ name: 'without-http2', setup: leaveOutHttp2 }],
  })
  for (const name of ['cli', 'worker']) loadLate(join(outdir, `${name}.cjs`))
  const { codeFile } = await import(join(compiled, 'program.js'))
  cacheCode(codeFile)
}

/** We speak HTTP/1.1 only; for the other undici has node make a large module, whose constants it reads at once. */
function leaveOutHttp2({ onLoad }) {
  onLoad({ filter: /undici\/lib\/dispatcher\/client-h2\.js$/ }, () => ({
    contents: `module.exports = () => { throw new Error('HTTP/2 is turned off') }`,
  }))
}

/** Node makes its own modules when they are asked for, and some are large: they are when something of them is used. */
function loadLate(file) {
  const text = readFileSync(file, 'latin1')
  const late = text.replace(
    /^(\s*(?:var )?import_node_\w+ = )require\("(node:(?:http|https|zlib|child_process|net|tls|stream\/\w+|timers\/promises))"\)/gm,
    '$1late("$2")',
  )
  writeFileSync(file, late, 'latin1')
}

/**
 * Has V8's code for the functions that a build uses written beside the command line. It saves time only: without it, or
 * with another version of node, the bundle is compiled when it runs.
 */
function cacheCode(codeFile) {
  const place = mkdtempSync(join(tmpdir(), 'tsbuild-bundle-'))
  try {
    const context = join(place, 'context')
    mkdirSync(context)
    writeFileSync(
      join(context, 'Dockerfile'),
      'FROM scratch AS a\nCOPY . /a\nFROM a\nCOPY --from=a /a /b\n',
    )
    // Nobody's logins and mirrors: the program is the same for all.
    const env = { PATH: process.env.PATH, HOME: place, TSBUILD_ROOT: join(place, 'root') }
    const writer = join(root, '.ci', 'code-cache.cjs')
    const args = ['build', '--progress', 'quiet', '-t', 'REGISTRY/warm', '--push', context]
    // The second build is the cached one; the last run's code is what stays.
    for (let run = 0; run < 2; run++) {
      const bundled = join(outdir, 'cli.cjs')
      const command = [writer, bundled, codeFile(bundled), ...args]
      const result = spawnSync(process.execPath, command, { env })
      if (result.status !== 0) {
        console.error(`no code of V8 was kept, tsbuild will start slower: ${result.stderr}`)
        if (process.env.TSBUILD_MUST_WORK === '1') process.exitCode = 1
        return
      }
    }
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle()
