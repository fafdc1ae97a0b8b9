// Runs the open conformance cases against this checkout, with a registry of the test lab. A case that is named in
// conformance-open.txt may fail; any other failure fails the run, and so does a listed case that passes (take it off).
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const runner = join(root, '..', 'shared', 'conformance', 'conform.mjs')
const open = new Set(
  readFileSync(join(root, '.ci', 'conformance-open.txt'), 'utf8')
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter(Boolean),
)
const work = mkdtempSync(join(tmpdir(), 'tsbuild-conformance-'))

/** Starts the lab's registry in a process of its own; it prints its address and ends with us. */
function startRegistry() {
  const child = spawn(process.execPath, [join(root, 'dist', 'builder', 'e2e', 'lab', 'serve.js')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the registry ended with ${code}`)))
    child.stdout.once('data', (bytes) => resolve({ child, address: String(bytes).trim() }))
  })
}

const { child, address } = await startRegistry()
try {
  const report = join(work, 'report.json')
  const command = `${process.execPath} ${join(root, 'dist', 'builder', 'cli', 'main.js')}`
  const args = [
    runner,
    'run',
    '--builder',
    command,
    '--registry',
    address,
    '--json',
    report,
    ...process.argv.slice(2),
  ]
  const env = { ...process.env, TSBUILD_ROOT: join(work, 'state') }
  spawnSync(process.execPath, args, { stdio: ['ignore', 2, 2], env })
  const { cases } = JSON.parse(readFileSync(report, 'utf8'))
  const unexpected = []
  let passed = 0
  for (const [id, { ok }] of Object.entries(cases)) {
    if (ok && !open.has(id)) passed++
    else if (ok) unexpected.push(`${id} passes now: take it off conformance-open.txt`)
    else if (!open.has(id)) unexpected.push(`${id} failed`)
    else console.log(`open: ${id}`)
  }
  for (const line of unexpected) console.log(line)
  console.log(`${passed} passed, ${unexpected.length} failed`)
  process.exitCode = unexpected.length === 0 && passed > 0 ? 0 : 1
} finally {
  child.stdin.end()
  child.removeAllListeners('exit')
  spawnSync(process.execPath, [
    join(root, 'dist', 'builder', 'cli', 'main.js'),
    'prune',
    '-af',
    '--root',
    join(work, 'state'),
  ])
  rmSync(work, { recursive: true, force: true })
}
