// `npm run bench -- [OPTIONS]`: prepares what is measured, then compares (bench/README.md).
import { dirname, join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { prepare } from './prepare.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
prepare()
const main = join(root, 'dist', 'bench', 'main.js')
const result = spawnSync(process.execPath, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
process.exit(result.status ?? 1)
