import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A container that runc runs; disposing of it kills and deletes it. */
export interface Container extends AsyncDisposable {
  /** The first group of the first output line that matches; rejects when the container ends without one. */
  line(pattern: RegExp): Promise<string>
}

/** Runs a bundle of `umoci unpack` with runc in the host's network, without a terminal. */
export async function runBundle(bundle: string, dir: string): Promise<Container> {
  const file = join(bundle, 'config.json')
  const config = JSON.parse(await readFile(file, 'utf8'))
  config.process.terminal = false
  config.linux.namespaces = config.linux.namespaces.filter(
    (namespace: { type: string }) => namespace.type !== 'network',
  )
  // The lab's machines have no usable cgroup hierarchy for containers; limits are not what is tested.
  delete config.linux.resources
  await writeFile(file, JSON.stringify(config))
  const id = `tsbuild-${randomUUID()}`
  const root = ['--root', join(dir, 'runc')]
  const child = spawn('runc', [...root, 'run', '--bundle', bundle, id], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  let hasEnded = false
  const waiting = new Set<() => void>()
  const wake = (): void => {
    for (const check of waiting) check()
  }
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      text += bytes.toString()
      wake()
    })
  }
  const closed = new Promise<void>((resolve) => {
    child.once('close', () => {
      hasEnded = true
      wake()
      resolve()
    })
  })
  return {
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const found = pattern.exec(text)?.[1]
          if (found === undefined && !hasEnded) return
          waiting.delete(check)
          if (found === undefined) reject(new Error(`the container ended: ${text}`))
          else resolve(found)
        }
        waiting.add(check)
        check()
      }),
    async [Symbol.asyncDispose](): Promise<void> {
      if (!hasEnded) spawn('runc', [...root, 'kill', id, 'KILL'], { stdio: 'ignore' })
      await closed
    },
  }
}
