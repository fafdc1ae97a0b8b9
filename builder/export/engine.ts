import { access, constants } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ExportError } from './errors.ts'

/** Where a container engine listens. */
export type EngineAddress =
  | { readonly kind: 'socket'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

/** More than this of an engine's answer is not kept. */
const ANSWER_LENGTH_MAX = 64 * 1024

/**
 * The engine that `--load` also loads into: the one that DOCKER_HOST names, else the first Docker or podman socket that
 * we may write to; undefined when there is none. Errors: `engine-failed` when DOCKER_HOST names what we cannot talk to.
 */
export async function findEngine(
  env: Readonly<Record<string, string | undefined>>,
): Promise<EngineAddress | undefined> {
  const host = env['DOCKER_HOST']
  if (host !== undefined && host !== '') {
    return readDockerHost(host)
  }
  const runtime = env['XDG_RUNTIME_DIR']
  const own =
    runtime === undefined || runtime === ''
      ? []
      : [join(runtime, 'docker.sock'), join(runtime, 'podman/podman.sock')]
  for (const path of ['/var/run/docker.sock', ...own, '/run/podman/podman.sock']) {
    if (await isWritable(path)) {
      return { kind: 'socket', path }
    }
  }
  return undefined
}

/** How messages call it. */
export function describeEngine(address: EngineAddress): string {
  return address.kind === 'socket' ? address.path : `${address.host}:${address.port}`
}

/**
 * Loads a docker archive into the engine (`POST /images/load`) and returns what it says, e.g. `Loaded image: app:v1`.
 * Errors: `engine-failed`.
 */
export async function loadIntoEngine(
  address: EngineAddress,
  archive: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<string[]> {
  const where =
    address.kind === 'socket'
      ? { socketPath: address.path }
      : { host: address.host, port: address.port }
  const request = httpRequest({
    ...where,
    method: 'POST',
    path: '/images/load?quiet=1',
    headers: { 'content-type': 'application/x-tar', host: 'engine' },
    signal,
  })
  const answered = new Promise<{ status: number; text: string }>((resolve, reject) => {
    request.once('error', reject)
    request.once('response', (response) => {
      readAnswer(response).then(
        (text) => resolve({ status: response.statusCode ?? 0, text }),
        reject,
      )
    })
  })
  try {
    const [, { status, text }] = await Promise.all([
      pipeline(Readable.from(archive, { objectMode: false }), request, { signal }),
      answered,
    ])
    return readMessages(status, text)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof ExportError) {
      throw error
    }
    throw new ExportError(
      'engine-failed',
      `could not load into the engine at ${describeEngine(address)}: ${String(error)}`,
      { cause: error },
    )
  }
}

function readMessages(status: number, text: string): string[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  const messages = lines.map((line) => readMessage(status, line))
  if (status < 200 || status >= 300) {
    throw new ExportError(
      'engine-failed',
      `could not load into the engine: it answered with status ${status}`,
    )
  }
  return messages.filter((message) => message !== undefined)
}

/** What one line of the answer says; a line that tells of a failure is thrown. */
function readMessage(status: number, line: string): string | undefined {
  let json: unknown
  try {
    json = JSON.parse(line)
  } catch (error) {
    const answer = line.slice(0, 200)
    throw new ExportError(
      'engine-failed',
      `could not load into the engine: it answered ${answer}`,
      { cause: error },
    )
  }
  const isObject = typeof json === 'object' && json !== null
  const fields = new Map<string, unknown>(isObject ? Object.entries(json ?? {}) : [])
  const failure = fields.get('error') ?? (status >= 400 ? fields.get('message') : undefined)
  if (failure !== undefined) {
    throw new ExportError('engine-failed', `could not load into the engine: ${String(failure)}`)
  }
  const stream = fields.get('stream')
  return typeof stream === 'string' && stream.trim() !== '' ? stream.trim() : undefined
}

async function readAnswer(response: AsyncIterable<Buffer>): Promise<string> {
  let text = ''
  for await (const chunk of response) {
    if (text.length < ANSWER_LENGTH_MAX) {
      text += chunk.toString('utf8')
    }
  }
  return text
}

function readDockerHost(text: string): EngineAddress {
  const socket = /^unix:\/\/(\/.+)$/.exec(text)?.[1]
  if (socket !== undefined) {
    return { kind: 'socket', path: socket }
  }
  const tcp = /^(?:tcp|http):\/\/([^:/]+|\[[^\]]+\])(?::(\d+))?\/?$/.exec(text)
  if (tcp?.[1] !== undefined) {
    return { kind: 'tcp', host: tcp[1].replace(/^\[|\]$/g, ''), port: Number(tcp[2] ?? 2375) }
  }
  throw new ExportError(
    'engine-failed',
    `could not use DOCKER_HOST=${text}: unix:///path and tcp://host:port are supported`,
  )
}

async function isWritable(path: string): Promise<boolean> {
  try {
    await access(path, constants.W_OK)
    return true
  } catch {
    // Absent, or not ours: there is no engine for us then.
    return false
  }
}
