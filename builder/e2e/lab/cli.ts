import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The compiled command line, as users start it. */
export const CLI: string = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
/** The checkout. */
export const PROJECT: string = join(fileURLToPath(new URL('../../../../', import.meta.url)))

export interface CommandResult {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  /** stdout then stderr: for searching in everything that was said. */
  readonly text: string
}

export interface CommandOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly input?: string | Uint8Array
  readonly uid?: number
  readonly gid?: number
  readonly timeoutMs?: number
  /** Sent when this time is over, unless the program has ended. */
  readonly signalAfter?: { readonly ms: number; readonly name: NodeJS.Signals }
  /** Called with everything said so far on stderr, each time there is more; may signal the process. */
  readonly onStderr?: (text: string, signal: (name: NodeJS.Signals) => void) => void
}

/** Runs a program to its end; a program that outlives its time is killed and reported by its signal. */
export function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid ?? options.uid }),
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 120_000)
    const { signalAfter } = options
    const signalTimer =
      signalAfter && setTimeout(() => child.kill(signalAfter.name), signalAfter.ms)
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (bytes: Buffer) => out.push(bytes))
    child.stderr.on('data', (bytes: Buffer) => {
      err.push(bytes)
      options.onStderr?.(Buffer.concat(err).toString(), (name) => child.kill(name))
    })
    child.stdin.on('error', () => {
      // The program may end without reading its input; its exit status says what matters.
    })
    child.stdin.end(options.input)
    child.once('error', reject)
    child.once('close', (status, signal) => {
      clearTimeout(timer)
      clearTimeout(signalTimer)
      const stdout = Buffer.concat(out).toString()
      const stderr = Buffer.concat(err).toString()
      resolve({ status, signal, stdout, stderr, text: `${stdout}${stderr}` })
    })
  })
}

/** Runs a program and throws what it said when it fails. */
export async function mustRun(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const result = await runCommand(program, args, options)
  if (result.status !== 0) {
    throw new Error(`${program} ${args.join(' ')}: exit ${result.status}\n${result.text}`)
  }
  return result
}
