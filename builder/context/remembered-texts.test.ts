import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { temporaryPaths } from '../../snapshotter/testing/temporary-directory.ts'
import { rememberedReader } from './remembered-texts.ts'

describe('rememberedReader', () => {
  let directory = ''
  let asked: string[] = []

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-texts-'))
    mkdirSync(join(directory, 'work'))
    asked = []
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  /** A reader as a build of its own makes it. */
  const reader = (identity: string, texts: Readonly<Record<string, string>>) =>
    rememberedReader(
      identity,
      (path) => {
        asked.push(path)
        return Promise.resolve(texts[path])
      },
      {
        contextsDirectory: join(directory, 'contexts'),
        temporaryPath: temporaryPaths(join(directory, 'work')),
      },
    )

  it('reads a file of a commit once, and asks once for one that is not there', async () => {
    for (let build = 0; build < 2; build += 1) {
      const read = reader('commit 1', { Dockerfile: 'FROM a\n' })
      assert.equal(await read('Dockerfile'), 'FROM a\n')
      assert.equal(await read('Dockerfile.dockerignore'), undefined)
    }
    assert.deepEqual(asked, ['Dockerfile', 'Dockerfile.dockerignore'])
    assert.equal(await reader('commit 2', { Dockerfile: 'FROM b\n' })('Dockerfile'), 'FROM b\n')
    assert.deepEqual(readdirSync(join(directory, 'work')), [])
  })

  it('reads again what is damaged, and what is too large to be kept', async () => {
    const big = 'x'.repeat((1 << 20) + 1)
    for (let build = 0; build < 2; build += 1) {
      const read = reader('commit', { Dockerfile: 'FROM a\n', big })
      assert.equal(await read('Dockerfile'), 'FROM a\n')
      assert.equal(await read('big'), big)
      for (const name of readdirSync(join(directory, 'contexts'))) {
        truncateSync(join(directory, 'contexts', name), 3)
      }
    }
    assert.deepEqual(asked, ['Dockerfile', 'big', 'Dockerfile', 'big'])
  })
})
