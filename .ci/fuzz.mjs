// `npm run fuzz -- frontend [--seconds 600] [--seed N]`: tries everything that reads Dockerfiles, ignore files, patterns and
// git URLs with inputs made by grammars and by chance, until the time is over. Exit status 1 and the input at the first fault.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { prepare } from './prepare.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const AREAS = {
  frontend: ['frontend/testing/fuzz-targets.js', 'builder/context/testing/fuzz-targets.js'],
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
})
const [area = 'frontend'] = positionals
const files = AREAS[area]
if (files === undefined) {
  console.error(`usage: npm run fuzz -- ${Object.keys(AREAS).join('|')} [--seconds N] [--seed N]`)
  process.exit(2)
}

process.chdir(root)
prepare()
const targets = (await Promise.all(files.map((file) => import(join(root, 'dist', file))))).flatMap(
  ({ FUZZ_TARGETS }) => FUZZ_TARGETS,
)
const endMs = Date.now() + Number(values.seconds) * 1000
const RUNS = 1000
let seed = Number(values.seed)
const counts = new Map(targets.map(({ name }) => [name, 0]))
while (Date.now() < endMs) {
  for (const { name, run } of targets) {
    if (Date.now() >= endMs) break
    try {
      await run(seed, RUNS)
    } catch (error) {
      console.error(`${name}, seed ${seed}:\n${error.message}`)
      process.exit(1)
    }
    counts.set(name, counts.get(name) + RUNS)
  }
  seed += 1
}
for (const [name, count] of counts) console.log(`${String(count).padStart(9)}  ${name}`)
