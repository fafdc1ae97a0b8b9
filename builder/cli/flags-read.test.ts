import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FlagSpec } from './args.ts'
import { COMMANDS } from './command-table.ts'
import { IGNORED_FLAGS } from './request/build-flags.ts'
import { RESOURCE_FLAGS } from './request/resources.ts'

/** The sources beside the compiled tests: what is read is seen in the text. */
const SOURCES = join(fileURLToPath(new URL('../../../', import.meta.url)), 'builder', 'cli')

interface Reading {
  readonly flag: string
  readonly how: 'text' | 'boolean' | 'list' | 'has'
}

/** Every place where a flag is read, in `file` and in what it imports of this folder. */
function readings(file: string, seen: Set<string> = new Set()): Reading[] {
  if (seen.has(file) || !existsSync(file)) return []
  seen.add(file)
  const text = readFileSync(file, 'utf8')
  const found = [...text.matchAll(/\bargs\.(text|boolean|list|has)\(\s*'([\w-]+)'\s*\)/g)].map(
    ([, how, flag]) => ({ flag, how }) as Reading,
  )
  const helpers = [...text.matchAll(/\bwriteResult\(args, context, '([\w-]+)'/g)].map(
    ([, flag]) => ({ flag, how: 'text' }) as Reading,
  )
  const lists = [...text.matchAll(/\bwritten\(args, '([\w-]+)'/g)].map(
    ([, flag]) => ({ flag, how: 'list' }) as Reading,
  )
  const imports = [...text.matchAll(/(?:from |import\()'(\.[^']+)'/g)].map(([, path]) =>
    join(dirname(file), path ?? ''),
  )
  const own = imports.filter((path) => path.startsWith(SOURCES))
  return [...found, ...helpers, ...lists, ...own.flatMap((path) => readings(path, seen))]
}

/** Read by their names in a table; --debug is for whoever reports errors, before any flag can be read. */
const TABLED: ReadonlySet<string> = new Set([
  'debug',
  'all',
  'attest',
  'provenance',
  'sbom',
  ...IGNORED_FLAGS.map(({ flag }) => flag),
  ...Object.keys(RESOURCE_FLAGS),
])

describe('the flags of every command', () => {
  const declared = new Map<string, Set<FlagSpec['kind']>>()
  const read: Reading[] = []

  for (const entry of COMMANDS) {
    it(`${entry.name}: are all read, as what they are declared`, async () => {
      const { flags } = await entry.load()
      const found = readings(join(SOURCES, 'commands', `${entry.name}.ts`))
      assert.ok(found.length > 0 || Object.keys(flags).length === 0)
      read.push(...found)
      for (const [name, { kind }] of Object.entries(flags)) {
        declared.set(name, (declared.get(name) ?? new Set()).add(kind))
        const readers = found.filter(({ flag }) => flag === name).map(({ how }) => how)
        assert.ok(TABLED.has(name) || readers.length > 0, `--${name} is never read`)
        const fits = readers.some((how) => how === kind || how === 'has')
        assert.ok(TABLED.has(name) || fits, `--${name} is ${kind} and read as ${readers.join()}`)
      }
    })
  }

  it('are declared by somebody when they are read', () => {
    const unknown = read.filter(({ flag }) => !declared.has(flag) && flag !== 'help')
    assert.deepEqual(unknown, [])
  })

  it('have a help unless they are there for compatibility only', async () => {
    for (const entry of COMMANDS) {
      const { name, flags } = await entry.load()
      const silent = Object.keys(flags).filter((flag) => flags[flag]?.help === undefined)
      const unexplained = silent.filter((flag) => !TABLED.has(flag) && !COMPATIBLE.has(flag))
      assert.deepEqual(unexplained, [], name)
    }
  })
})

/** Without an effect of their own, for scripts that pass them. */
const COMPATIBLE: ReadonlySet<string> = new Set(['all', 'attest', 'keep-storage'])
