// Bundles the two programs (command line, worker) out of the compiled modules into dist/bundle/: entry files and shared
// chunks, everything that a command loads lazily in chunks of its own.
import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const compiled = join(root, 'dist', 'builder')

export async function bundle() {
  const outdir = join(root, 'dist', 'bundle')
  rmSync(outdir, { recursive: true, force: true })
  await build({
    absWorkingDir: root,
    entryPoints: {
      cli: join(compiled, 'cli', 'cli.js'),
      worker: join(compiled, 'worker', 'worker.js'),
    },
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    sourcemap: true,
    logLevel: 'warning',
    // Packages in CommonJS call require for node's own modules.
    banner: {
      js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
    },
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle()
