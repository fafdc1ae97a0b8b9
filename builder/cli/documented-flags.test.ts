import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FlagSpecs } from './args.ts'
import { COMMANDS } from './command-table.ts'

const PROJECT = fileURLToPath(new URL('../../../', import.meta.url))
const DOCUMENTS = [
  'README.md',
  ...readdirSync(join(PROJECT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
]

/** The calls of tsbuild in the code blocks of a document, of whatever language, as words. */
function callsIn(markdown: string): string[][] {
  const blocks = [...markdown.matchAll(/^```\w+\n([\s\S]*?)^```$/gm)].map(([, text]) => text ?? '')
  return blocks.flatMap((block) => {
    // Lines go on after a backslash, and where YAML folds them: an option begins the next one.
    const joined = block.replaceAll(/\\\n\s*/g, ' ').replaceAll(/\n\s+(?=-{1,2}[a-z])/g, ' ')
    return [...joined.matchAll(/(?:^|[\s'"`(:&|;])tsbuild ([^\n|;&>)]*)/g)].map(([, rest]) =>
      (rest ?? '').split(/\s+/).filter((word) => word !== ''),
    )
  })
}

function isKnown(word: string, flags: FlagSpecs): boolean {
  const [, long, short] = /^(?:--([\w-]+)|-([A-Za-z]+))/.exec(word) ?? []
  if (long !== undefined) return ['help', 'version'].includes(long) || Object.hasOwn(flags, long)
  const letters = new Set(Object.values(flags).map((flag) => flag.short))
  return short === undefined || letters.has(short[0] ?? '') || short === 'h'
}

describe('the calls of tsbuild in the documents', () => {
  for (const document of DOCUMENTS) {
    it(`have only commands and flags that there are: ${document}`, async () => {
      const wrong: string[] = []
      for (const words of callsIn(readFileSync(join(PROJECT, document), 'utf8'))) {
        const entry = COMMANDS.find(({ name }) => name === words[0])
        const build = COMMANDS.find(({ name }) => name === 'build') ?? assert.fail()
        const { flags } = await (entry ?? build).load()
        const unknown = words.filter((word) => word.startsWith('-') && !isKnown(word, flags))
        wrong.push(...unknown.map((word) => `${word} in: tsbuild ${words.join(' ')}`))
      }
      assert.deepEqual(wrong, [])
    })
  }

  it('are found in the recipes for CI, in YAML and Groovy too', () => {
    const calls = callsIn(readFileSync(join(PROJECT, 'docs/ci.md'), 'utf8'))
    assert.ok(calls.length > 15, String(calls.length))
    assert.ok(calls.some((words) => words.includes('--cache-to')))
    assert.ok(calls.some((words) => words[0] === 'prune'))
  })
})
