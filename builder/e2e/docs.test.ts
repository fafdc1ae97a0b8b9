import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { PROJECT, runCommand } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

/** The `sh` code blocks of a document, in order. `console`, `yaml` and others are for reading only. */
function shellBlocks(markdown: string): string[] {
  return [...markdown.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '')
}

/** Documents name public images and a registry on localhost:5000; here both are the lab's registry. */
function withLabRegistry(text: string, host: string): string {
  return text
    .replaceAll('localhost:5000', host)
    .replaceAll(/\bFROM (busybox|debian|node)\b/g, `FROM ${host}/library/$1`)
    .replaceAll(/\bpull (busybox|debian|node)\b/g, `pull ${host}/library/$1`)
}

async function documents(): Promise<string[]> {
  const docs = (await readdir(join(PROJECT, 'docs'))).filter((name) => name.endsWith('.md'))
  return ['README.md', ...docs.map((name) => join('docs', name))]
}

describe('the links of the documents', () => {
  it('lead to files that are there', async () => {
    const missing: string[] = []
    for (const document of await documents()) {
      const text = await readFile(join(PROJECT, document), 'utf8')
      for (const [, target = ''] of text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
        if (/^[a-z]+:/.test(target)) continue
        if (!existsSync(join(PROJECT, dirname(document), target))) {
          missing.push(`${document}: ${target}`)
        }
      }
    }
    assert.deepEqual(missing, [])
  })
})

/**
 * With the state root on a disk that is not full, whatever this machine's is: there failed steps would not be kept. Only root
 * can mount one.
 */
function onOwnDisk(command: readonly string[]): [string, ...string[]] {
  const script = 'mkdir "$TSBUILD_ROOT"; mount -t tmpfs -o size=4g tmpfs "$TSBUILD_ROOT"; exec "$@"'
  const [program = '', ...args] = command
  if (process.getuid?.() !== 0) return [program, ...args]
  return ['unshare', '--mount', 'sh', '-euc', script, 'sh', ...command]
}

describe('the code blocks of the documents', function () {
  this.timeout(300_000)
  requires('steps')

  it('do what they say, one document after the other', async () => {
    const { host } = await labRegistry()
    let count = 0
    for (const document of await documents()) {
      const blocks = shellBlocks(await readFile(join(PROJECT, document), 'utf8'))
      if (blocks.length === 0) continue
      await using lab = await Lab.open()
      const work = join(lab.dir, 'work')
      await mkdir(work)
      const script = withLabRegistry(blocks.join('\n'), host)
      const [program, ...args] = onOwnDisk(['bash', '-euxo', 'pipefail', '-c', script])
      const result = await runCommand(program, args, {
        cwd: work,
        timeoutMs: 240_000,
        env: await lab.scriptEnv(),
      })
      assert.equal(result.status, 0, `${document}:\n${result.text}`)
      count += blocks.length
    }
    assert.ok(count > 0, 'no document has a code block')
  })
})
