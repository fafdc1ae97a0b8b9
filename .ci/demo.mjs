// `npm run demo`: prepares the checkout, makes a small base image out of this machine's own files (no network beyond npm),
// builds fixtures/contexts/hello on it, and runs the result.
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeMachineBase } from './machine-base.mjs'
import { prepare } from './prepare.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const demoDir = join(root, 'node_modules', '.tsbuild', 'demo')

function tsbuild(...args) {
  console.error(`\n$ tsbuild ${args.join(' ')}`)
  const command = [join(root, 'dist', 'builder', 'cli', 'main.js'), ...args]
  const env = { ...process.env, TSBUILD_ROOT: process.env.TSBUILD_ROOT ?? join(demoDir, 'state') }
  const result = spawnSync(process.execPath, command, { cwd: root, stdio: 'inherit', env })
  if (result.status !== 0) process.exit(result.status ?? 1)
}

prepare()
const layout = makeMachineBase(join(demoDir, 'base'))
tsbuild(
  'build',
  '-t',
  'hello:demo',
  '--build-context',
  `base=oci-layout://${layout}`,
  'fixtures/contexts/hello',
)
tsbuild('run', '--rm', 'hello:demo')
