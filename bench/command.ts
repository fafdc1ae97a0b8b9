import { spawn } from 'node:child_process'
import { BenchError } from './errors.ts'
import { MemoryWatch } from './memory.ts'

export interface CommandLine {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export interface Measured {
  readonly seconds: number
  /** Largest sum over all processes; undefined when it was not watched. */
  readonly peakBytes: number | undefined
}

const TIMEOUT_MS = 30 * 60 * 1000
const LAST_WORDS = 2000

/**
 * Runs a command to its end. `watch`: also sums up the memory of the process, its descendants and every process of these
 * names (daemons that work for it), which costs time: such a run is not for timing. Errors: `command-failed`.
 */
export async function measure(
  { argv, env }: CommandLine,
  watch?: { readonly daemons: readonly string[] },
): Promise<Measured> {
  const [program = '', ...args] = argv
  const before = process.hrtime.bigint()
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: TIMEOUT_MS,
  })
  let lastWords = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    lastWords = (lastWords + text).slice(-LAST_WORDS)
  })
  const memory =
    watch === undefined || child.pid === undefined
      ? undefined
      : new MemoryWatch(child.pid, watch.daemons)
  const how = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) =>
      resolve(code === 0 ? '' : signal === null ? `status ${code}` : `killed by ${signal}`),
    )
  })
  const seconds = Number(process.hrtime.bigint() - before) / 1e9
  const peakBytes = memory?.stop()
  if (how !== '') {
    const message = `could not run ${argv.join(' ')}: ${how}\n${lastWords}`
    throw new BenchError('command-failed', message)
  }
  return { seconds, peakBytes }
}
