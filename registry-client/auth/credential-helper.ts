import { spawn } from 'node:child_process'
import pLimit from 'p-limit'
import { RegistryError } from '../errors.ts'
import type { Environment } from '../transport/proxy.ts'
import { redactText } from '../transport/redact.ts'
import { passwordOrToken } from './config-file.ts'
import type { Credentials } from './credentials.ts'

const OUTPUT_LENGTH_MAX = 256 * 1024
/** Helpers may open a browser or ask for a finger; but they must not hang a build. */
const TIMEOUT_MS = 120_000
/**
 * Helpers say "there is none" by this text on stdout and a failing exit status
 * (docker-credential-helpers).
 */
const NOT_FOUND = /credentials not found|no credentials|not found in native keychain/i

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
 * The credentials that the helper has for `serverUrl`; undefined when it has none. Throws
 * RegistryError `bad-configuration`.
 */
export async function helperGet(
  context: HelperContext,
  serverUrl: string,
): Promise<Credentials | undefined> {
  const result = await run(context, 'get', serverUrl)
  if (result.status !== 0) {
    if (NOT_FOUND.test(result.output)) return undefined
    throw failed(context, `ended with status ${result.status}${said(result.output)}`)
  }
  const reply = parseReply(result.output)
  if (reply === undefined) throw failed(context, 'did not print JSON with Username and Secret')
  return reply.secret === '' ? undefined : passwordOrToken(reply.username, reply.secret)
}

/** Stores a name and secret with the helper. */
export async function helperStore(
  context: HelperContext,
  entry: { readonly serverUrl: string; readonly username: string; readonly secret: string },
): Promise<void> {
  const input = JSON.stringify({
    ServerURL: entry.serverUrl,
    Username: entry.username,
    Secret: entry.secret,
  })
  const result = await run(context, 'store', input)
  if (result.status === 0) return
  const reason = `could not store (status ${result.status})${said(result.output, [entry.secret])}`
  throw failed(context, reason)
}

/** Removes what the helper has for `serverUrl`; that there is nothing is no error. */
export async function helperErase(context: HelperContext, serverUrl: string): Promise<void> {
  const result = await run(context, 'erase', serverUrl)
  if (result.status === 0 || NOT_FOUND.test(result.output)) return
  throw failed(context, `could not erase (status ${result.status})${said(result.output)}`)
}

/** What a helper that failed wrote: by the protocol a reason, but never show what may be a login. */
function said(output: string, secrets: readonly string[] = []): string {
  const text = output.includes('{') ? '' : redactText(output, secrets, 200)
  return text === '' ? '' : `: ${text}`
}

interface HelperResult {
  readonly status: number
  readonly output: string
}

function run(
  context: HelperContext,
  action: 'get' | 'store' | 'erase',
  input: string,
): Promise<HelperResult> {
  // The name comes from a file and becomes a program's name: it must not be a path.
  if (!/^[A-Za-z0-9._-]+$/.test(context.name))
    throw failed(context, 'has a name that is not a program name')
  return oneAtATime(() => runNow(context, action, input))
}

function runNow(context: HelperContext, action: string, input: string): Promise<HelperResult> {
  return new Promise((resolve, reject) => {
    const { signal, timeoutMs = TIMEOUT_MS } = context
    const deadline = AbortSignal.timeout(timeoutMs)
    const child = spawn(`docker-credential-${context.name}`, [action], {
      env: { ...context.env },
      stdio: ['pipe', 'pipe', 'ignore'],
      signal: AbortSignal.any([signal, deadline]),
      killSignal: 'SIGKILL',
    })
    const end = (error: unknown): void => {
      reject(error)
      child.kill('SIGKILL')
      // Programs that it started may hold its output open, and this process with it.
      child.stdout.destroy()
    }
    let output = ''
    child.stdout.setEncoding('utf8')
    child.stdout.on('data', (text: string) => {
      output += text
      if (output.length > OUTPUT_LENGTH_MAX)
        end(failed(context, `printed more than ${OUTPUT_LENGTH_MAX} characters`))
    })
    child.once('error', (cause: NodeJS.ErrnoException) => {
      if (signal.aborted) end(signal.reason)
      else if (deadline.aborted) end(failed(context, `did not end in ${timeoutMs / 1000} s`))
      else
        end(
          failed(context, cause.code === 'ENOENT' ? 'is not installed' : 'could not be run', cause),
        )
    })
    child.once('close', (status) => resolve({ status: status ?? 128, output }))
    // A helper that ends without reading its input closes the pipe; its status says what matters.
    child.stdin.once('error', () => undefined)
    child.stdin.end(input)
  })
}

function parseReply(output: string): { username: string; secret: string } | undefined {
  let json: unknown
  try {
    json = JSON.parse(output)
  } catch {
    // Reported by the caller, without the text: it may hold the secret.
    return undefined
  }
  if (typeof json !== 'object' || json === null) return undefined
  const reply: Readonly<Record<string, unknown>> = { ...json }
  const username = reply['Username']
  const secret = reply['Secret']
  return typeof username === 'string' && typeof secret === 'string'
    ? { username, secret }
    : undefined
}

function failed(context: HelperContext, reason: string, cause?: unknown): RegistryError {
  return new RegistryError(
    'bad-configuration',
    `the credential helper docker-credential-${context.name} ${reason}`,
    { cause },
  )
}
