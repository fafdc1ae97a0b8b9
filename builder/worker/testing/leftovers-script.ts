import { spawnSync } from 'node:child_process'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readHostFacts } from '../../sandbox/host-facts.ts'
import { processesBelow } from './processes.ts'
import { SandboxLab } from './sandbox-lab.ts'

/**
 * Run by leftovers.test.ts: `leftovers-script.js KEYS RUNG` runs steps on the rung, under a session keyring with a key that KEYS
 * (the program of that test) makes, and prints as JSON what they left and what keys they found.
 */
const LACKING = {
  own: {},
  'userns-single-id': { hasSysAdmin: false, ownIds: undefined, newuidmap: undefined },
  'no-namespaces': { hasSysAdmin: false, userNamespacesMax: 0 },
} as const

const [keys = '', rung = '', held] = process.argv.slice(2)
if (held === undefined) {
  const self = [process.execPath, fileURLToPath(import.meta.url), keys, rung, 'held']
  const { status } = spawnSync(keys, ['hold', ...self], { stdio: 'inherit' })
  process.exit(status ?? 1)
}
if (rung !== 'own' && rung !== 'userns-single-id' && rung !== 'no-namespaces')
  throw new TypeError(`no rung ${rung}`)
const lab = await SandboxLab.open({ ...readHostFacts(), ...LACKING[rung] })
await copyFile(keys, join(lab.base.path, 'fs/bin/keys'))
const network = lab.worker.info.rung === 'no-namespaces' ? 'default' : 'none'
// What the worker keeps from now on is there.
await lab.run('true', { network })
const before = new Set(processesBelow(process.pid).map(({ pid }) => pid))
const begun = performance.now()
const ended = await lab.run(
  // Two that live on, one of them in a session of its own; one that nobody waits for; one whose parent ends first.
  'sleep 1000 & (setsid sleep 1000 &); true & (sh -c "true & exec true" &); echo ended',
  { network },
)
const tookMs = performance.now() - begun
const left = processesBelow(process.pid).filter(({ pid }) => !before.has(pid))
const living = left.filter(({ command }) => command.startsWith('sleep '))
// The next step's program waits below the worker; what has no command is a zombie.
const deadline = performance.now() + 2000
const zombies = (): string[] =>
  processesBelow(process.pid).flatMap(({ name, command }) => (command === '' ? [name] : []))
while (zombies().length > 0 && performance.now() < deadline)
  await new Promise((resolve) => setImmediate(resolve))
const insecure = { network, security: 'insecure' } as const
const found = {
  outside: spawnSync(keys, ['find', 'outer'], { encoding: 'utf8' }).stdout,
  inside: (await lab.run('keys find outer', insecure)).stdout,
  own: (await lab.run('keys add inner && keys find inner', insecure)).stdout,
  next: (await lab.run('keys find inner', insecure)).stdout,
}
const seen = { rung: lab.worker.info.rung, stdout: ended.stdout, exitCode: ended.exitCode, tookMs }
const leftovers = { living: living.map(({ command }) => command), zombies: zombies() }
await lab[Symbol.asyncDispose]()
console.log(JSON.stringify({ ...seen, ...leftovers, found }))
