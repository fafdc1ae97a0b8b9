import { passwordOrToken } from './config-file.ts'
import { type Credentials, secretsOf } from './credentials.ts'
import { type HelperContext, helperFailed, runHelper } from './helper-program.ts'
import { type HelperResult, helperWords } from './helper-words.ts'

/**
 * Helpers say "there is none" by this text on stdout and a failing exit status
 * (docker-credential-helpers).
 */
const NOT_FOUND = /credentials not found|no credentials|not found in native keychain/i

/**
 * The credentials that the helper has for `serverUrl`; undefined when it has none. Throws
 * RegistryError `bad-configuration`, with the exit status and what the helper said.
 */
export async function helperGet(
  context: HelperContext,
  serverUrl: string,
): Promise<Credentials | undefined> {
  const result = await runHelper(context, 'get', serverUrl)
  if (result.status !== 0) {
    if (NOT_FOUND.test(result.stdout)) return undefined
    throw helperFailed(context, ended(context, result))
  }
  const reply = parseReply(result.stdout)
  if (reply === undefined) {
    const words = helperWords(result, context.env)
    throw helperFailed(context, `did not print JSON with Username and Secret${words}`)
  }
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
  const secrets = secretsOf(passwordOrToken(entry.username, entry.secret))
  const result = await runHelper(context, 'store', input, secrets)
  if (result.status === 0) return
  throw helperFailed(context, `could not store: it ${ended(context, result, secrets)}`)
}

/** Removes what the helper has for `serverUrl`; that there is nothing is no error. */
export async function helperErase(context: HelperContext, serverUrl: string): Promise<void> {
  const result = await runHelper(context, 'erase', serverUrl)
  if (result.status === 0 || NOT_FOUND.test(result.stdout)) return
  throw helperFailed(context, `could not erase: it ${ended(context, result)}`)
}

function ended(
  context: HelperContext,
  result: HelperResult,
  secrets: readonly string[] = [],
): string {
  return `ended with status ${result.status}${helperWords(result, context.env, secrets)}`
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
