import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import pLimit from 'p-limit'
import { RegistryError } from '../errors.ts'
import type { Environment } from '../transport/proxy.ts'
import { type HelperResult, helperWords } from './helper-words.ts'

const STDOUT_LENGTH_MAX = 256 * 1024
/** What is kept of standard error: its end. */
const STDERR_LENGTH_MAX = 16 * 1024
/** Helpers may open a browser or ask for a finger; but they must not hang a build. */
const TIMEOUT_MS = 120_000
/** For the last words of a helper that has ended; a program that it left may hold its output open. */
const LAST_WORDS_MS = 200

/** One at a time: several keychain prompts at once hang on some systems (features row R18). */
const oneAtATime = pLimit(1)

/** How `docker-credential-<name>` is run. */
export interface HelperContext {
  readonly name: string
  readonly env: Environment
  readonly signal: AbortSignal
  /** How long it may take; default two minutes. */
  readonly timeoutMs?: number
}

/**
 * Runs the helper once, with `input` on its standard input, and waits for its end. `secrets` are
 * what `input` has of them. Throws RegistryError `bad-configuration` when it cannot be started,
 * does not end in time, is killed, or prints without end.
 */
export function runHelper(
  context: HelperContext,
  action: 'get' | 'store' | 'erase',
  input: string,
  secrets: readonly string[] = [],
): Promise<HelperResult> {
  // The name comes from a file and becomes a program's name: it must not be a path.
  if (!/^[A-Za-z0-9._-]+$/.test(context.name))
    throw helperFailed(context, 'has a name that is not a program name')
  return oneAtATime(() => new HelperRun(context, secrets).run(action, input))
}

/** The error of a helper that cannot be used; `reason` completes the sentence. */
export function helperFailed(
  context: HelperContext,
  reason: string,
  cause?: unknown,
): RegistryError {
  return new RegistryError(
    'bad-configuration',
    `the credential helper docker-credential-${context.name} ${reason}`,
    { cause },
  )
}

class HelperRun {
  readonly #context: HelperContext
  readonly #secrets: readonly string[]
  #stdout = ''
  #stderr = ''

  constructor(context: HelperContext, secrets: readonly string[]) {
    this.#context = context
    this.#secrets = secrets
  }

  run(action: string, input: string): Promise<HelperResult> {
    const { name, env, signal, timeoutMs = TIMEOUT_MS } = this.#context
    const deadline = AbortSignal.timeout(timeoutMs)
    const child = spawn(`docker-credential-${name}`, [action], {
      env: { ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      signal: AbortSignal.any([signal, deadline]),
      killSignal: 'SIGKILL',
    })
    return new Promise<HelperResult>((resolve, reject) => {
      child.once('error', (cause: NodeJS.ErrnoException) => {
        if (signal.aborted) reject(signal.reason)
        else if (deadline.aborted) reject(this.#failed(`did not end in ${timeoutMs / 1000} s`))
        else reject(helperFailed(this.#context, notStarted(this.#context, cause), cause))
      })
      this.#read(child, reject)
      whenEnded(child, (status, killedBy) => {
        if (killedBy === null) resolve(this.#result(status ?? undefined))
        else reject(this.#failed(`was killed (${killedBy})`))
      })
      // A helper that ends without reading its input closes the pipe; its status says what matters.
      child.stdin.once('error', () => undefined)
      child.stdin.end(input)
    }).finally(() => {
      child.kill('SIGKILL')
      // Programs that it started may hold its output open, and this process with it.
      child.stdout.destroy()
      child.stderr.destroy()
    })
  }

  #read(child: Helper, reject: (error: Error) => void): void {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text
      if (this.#stdout.length > STDOUT_LENGTH_MAX)
        reject(this.#failed(`printed more than ${STDOUT_LENGTH_MAX} characters`))
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      const all = this.#stderr + text
      this.#stderr = all.length > STDERR_LENGTH_MAX ? fromWord(all.slice(-STDERR_LENGTH_MAX)) : all
    })
  }

  #result(status: number | undefined): HelperResult {
    return { status, stdout: this.#stdout, stderr: this.#stderr }
  }

  #failed(reason: string): RegistryError {
    const words = helperWords(this.#result(undefined), this.#context.env, this.#secrets)
    return helperFailed(this.#context, `${reason}${words}`)
  }
}

type Helper = ChildProcessByStdio<Writable, Readable, Readable>

/**
 * Standard output is read to its end, as Docker does. Standard error is not waited for: what the
 * helper leaves running (an agent, a browser) may have it open for ever.
 */
function whenEnded(
  child: Helper,
  ended: (status: number | null, killedBy: NodeJS.Signals | null) => void,
): void {
  child.once('exit', (status, killedBy) => {
    const tell = (): void => ended(status, killedBy)
    const afterReply = (): void => {
      const timer = setTimeout(tell, child.stderr.readableEnded ? 0 : LAST_WORDS_MS)
      child.stderr.once('close', () => {
        clearTimeout(timer)
        tell()
      })
    }
    if (child.stdout.readableEnded) afterReply()
    else child.stdout.once('close', afterReply)
  })
}

function notStarted({ name, env }: HelperContext, cause: NodeJS.ErrnoException): string {
  if (cause.code !== 'ENOENT') return `could not be run (${cause.code ?? cause.message})`
  const directories = (env['PATH'] ?? '').split(delimiter)
  const found = directories.find((path) => existsSync(join(path, `docker-credential-${name}`)))
  // The kernel says the same of a script's interpreter and of a program's loader.
  return found === undefined
    ? 'is not installed'
    : `in ${found} cannot be started: its interpreter is missing (first line, or C library)`
}

/** A word of which the beginning is gone cannot be told for a secret. */
function fromWord(text: string): string {
  return text.slice(text.search(/\s/) + 1)
}
