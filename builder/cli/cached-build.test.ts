import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('main.js', import.meta.url))

/**
 * Runs before the program and notes what it opens, starts and connects to. Its clock is an hour ahead, so that files made
 * just now are old enough to be believed.
 */
const RECORDER = `
import fs from 'node:fs'
import childProcess from 'node:child_process'
import net from 'node:net'
import { syncBuiltinESMExports } from 'node:module'

const seen = { files: [], children: [], connections: [] }
const note = (object, name, list) => {
  const original = object[name]
  object[name] = function (...args) {
    list.push(String(args[0]))
    return original.apply(this, args)
  }
}
for (const name of ['open', 'readFile', 'readdir', 'opendir']) note(fs.promises, name, seen.files)
for (const name of ['openSync', 'readFileSync', 'readdirSync']) note(fs, name, seen.files)
for (const name of ['spawn', 'spawnSync', 'execFile', 'fork']) note(childProcess, name, seen.children)
note(net.Socket.prototype, 'connect', seen.connections)
const now = Date.now
Date.now = () => now() + 3_600_000
syncBuiltinESMExports()
const write = fs.writeFileSync
process.on('exit', () => write(process.env.RECORDED, JSON.stringify(seen)))
`

interface Recorded {
  readonly files: readonly string[]
  readonly children: readonly string[]
  readonly connections: readonly string[]
}

describe('a build in which nothing changed', () => {
  let place: string

  beforeEach(() => {
    place = mkdtempSync(join(tmpdir(), 'tsbuild-cached-'))
    writeFileSync(join(place, 'recorder.mjs'), RECORDER)
  })

  afterEach(() => {
    rmSync(place, { recursive: true, force: true })
  })

  /** What the third build of a context with that many files and COPY steps does. */
  function thirdBuild(files: number, steps: number, ignore = ''): Recorded {
    const context = join(place, `context-${files}-${steps}`)
    mkdirSync(join(context, 'src'), { recursive: true })
    for (let i = 0; i < files; i++) writeFileSync(join(context, `src/${i}`), `${i}`)
    const copies = Array.from({ length: steps }, (_, i) => `COPY src /src${i}`)
    writeFileSync(join(context, 'Dockerfile'), ['FROM scratch', ...copies].join('\n'))
    writeFileSync(join(context, '.dockerignore'), ignore)
    const args = ['build', '-q', '--root', join(place, 'state'), '-t', 'x', context]
    const recorded = join(place, 'recorded')
    for (let run = 0; run < 3; run++) {
      const { status, stderr } = spawnSync(
        process.execPath,
        ['--import', join(place, 'recorder.mjs'), MAIN, ...args],
        { encoding: 'utf8', env: { ...process.env, RECORDED: recorded } },
      )
      assert.equal(status, 0, stderr)
    }
    const { files: all, ...rest } = JSON.parse(readFileSync(recorded, 'utf8')) as Recorded
    return { ...rest, files: all.filter((file) => file.startsWith(place)) }
  }

  it('starts nothing and connects to nobody', () => {
    const { children, connections } = thirdBuild(3, 2)
    assert.deepEqual({ children, connections }, { children: [], connections: [] })
  }).timeout(60_000)

  it('reads as many files for a thousand files of context as for three', () => {
    const few = thirdBuild(3, 2).files
    const many = thirdBuild(1000, 2).files
    assert.ok(few.length > 0)
    assert.equal(many.length, few.length, many.join('\n'))
  }).timeout(60_000)

  it('reads a few small files more for each step, and of the context the Dockerfile and what it ignores', () => {
    const two = thirdBuild(3, 2, 'logs\n').files
    const ten = thirdBuild(3, 10, 'logs\n').files
    const each = (ten.length - two.length) / 8
    assert.ok(each > 0 && each <= 7, `${each} files for each step:\n${ten.join('\n')}`)
    const inContext = ten.filter((file) => file.startsWith(join(place, 'context')))
    const names = new Set(inContext.map((file) => file.slice(file.lastIndexOf('/') + 1)))
    for (const name of names) {
      assert.match(name, /^(Dockerfile|\.dockerignore|Dockerfile\.dockerignore)$/)
    }
  }).timeout(60_000)
})
