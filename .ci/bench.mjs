// `npm run bench -- [OPTIONS]`: compiles and bundles what is measured, then compares (bench/README.md).
import { dirname, join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { bundle } from './bundle.mjs'
import { prepare } from './prepare.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
prepare()
await bundle()
const main = join(root, 'dist', 'bench', 'main.js')
const result = spawnSync(process.execPath, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
process.exit(result.status ?? 1)
