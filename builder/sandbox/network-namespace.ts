import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { errnoOf } from '../../snapshotter/index.ts'
import { SandboxError } from './errors.ts'
import { findProgram } from './host-facts.ts'
import { NETWORK_PROGRAMS, type NetworkProgram } from './network-program.ts'

export interface NetworkNamespaceOptions {
  /** Path of sandbox-init. */
  readonly program: string
  /** What `networkChoice` looks at; and what sandbox-init says of a namespace that it is making already. */
  readonly env: Environment
  /** Is given, at most once, why steps use this machine's network after all. */
  readonly onShared: (notice: string) => void
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The network namespace that all steps of one worker share, made when first asked for. What holds and what carries it is
 * in the worker's pid namespace, and ends with it.
 */
export class NetworkNamespace {
  readonly #options: NetworkNamespaceOptions
  #path: Promise<string | undefined> | undefined

  constructor(options: NetworkNamespaceOptions) {
    this.#options = options
  }

  /**
   * Its path; undefined where none can be had, after saying why. Errors: `sandbox-unavailable` when a program was chosen
   * and cannot do it.
   */
  path(): Promise<string | undefined> {
    this.#path ??= this.#open()
    return this.#path
  }

  /** Makes it beside other work: whoever asks for the path then learns of a failure. */
  prepare(): void {
    this.path().catch(() => undefined)
  }

  async #open(): Promise<string | undefined> {
    const { program, env, onShared } = this.#options
    const early = await earlyPath(env)
    if (early !== undefined) return early
    const { chosen, candidates, lack } = networkChoice(env)
    if (chosen === 'host') return undefined
    const causes = lack === undefined ? [] : [lack]
    for (const candidate of candidates) {
      const made = await attach(program, candidate)
      if ('path' in made) return made.path
      causes.push(`${candidate.name}: ${made.error}`)
    }
    const reasons = causes.join('; ')
    if (chosen !== undefined) throw chosenInVain(chosen, reasons)
    onShared(`steps use this machine's network (${reasons})`)
    return undefined
  }
}

const CHOICE = 'TSBUILD_STEP_NETWORK'
const TAP = '/dev/net/tun'

type InstalledProgram = NetworkProgram & { readonly file: string }

interface NetworkChoice {
  /** By the user; undefined: what there is. */
  readonly chosen: string | undefined
  /** What may be tried, in order. */
  readonly candidates: readonly InstalledProgram[]
  /** Why there is nothing to try. */
  readonly lack: string | undefined
}

/**
 * What could carry the steps' network here, by PATH and `TSBUILD_STEP_NETWORK`: a program, or `host`.
 * Errors: `sandbox-unavailable` for another word.
 */
export function networkChoice(env: Environment): NetworkChoice {
  const chosen = env[CHOICE] || undefined
  const none = (lack: string | undefined): NetworkChoice => ({ chosen, candidates: [], lack })
  if (chosen === 'host') return none(undefined)
  const allowed = NETWORK_PROGRAMS.filter(({ name }) => chosen === undefined || name === chosen)
  if (chosen !== undefined && allowed.length === 0)
    throw chosenInVain(chosen, 'it must be pasta, slirp4netns or host')
  const candidates = allowed.flatMap((candidate) => {
    const file = findProgram(candidate.name, env['PATH'] ?? '')
    return file === undefined ? [] : [{ ...candidate, file }]
  })
  if (candidates.length === 0) {
    return none(
      chosen === undefined
        ? 'neither pasta (package passt) nor slirp4netns is installed'
        : 'it is not installed',
    )
  }
  const lack = missingTap()
  return lack === undefined ? { chosen, candidates, lack } : none(lack)
}

function chosenInVain(choice: string, reason: string): SandboxError {
  return new SandboxError(
    'sandbox-unavailable',
    `could not give steps a network by ${CHOICE}=${choice}: ${reason}`,
  )
}

/** Both programs need a tap device. */
function missingTap(): string | undefined {
  try {
    accessSync(TAP, constants.R_OK | constants.W_OK)
    return undefined
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    return `${TAP} cannot be used: ${errno}`
  }
}

/** The arguments of `sandbox-init network`. */
export function networkArguments({ readiness, file, args }: InstalledProgram): string[] {
  return [readiness, file, ...args]
}

async function attach(
  program: string,
  candidate: InstalledProgram,
): Promise<{ readonly path: string } | { readonly error: string }> {
  const child = spawn(program, ['network', ...networkArguments(candidate)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
  })
  const path = await firstLine(child.stdout)
  if (path === undefined) return { error: lastWords(await text(child.stderr)) }
  // Whatever it has to say later must not fill the pipe.
  child.stderr.resume()
  return { path }
}

/** Names the descriptor on which sandbox-init says where the namespace is that it makes beside the worker's start. */
const EARLY = 'TSBUILD_WORKER_NETWORK'

async function earlyPath(env: Environment): Promise<string | undefined> {
  const fd = env[EARLY]
  if (fd === undefined) return undefined
  // Not a file stream: its read ahead would block a thread, and with it the end of the process.
  return await firstLine(new Socket({ fd: Number(fd), readable: true, writable: false }))
}

/** Undefined when the stream ends before. */
async function firstLine(stream: Readable): Promise<string | undefined> {
  let line = ''
  for await (const chunk of stream) {
    line += String(chunk)
    if (line.endsWith('\n')) return line.trimEnd()
  }
  return undefined
}

/** The last line that is about the matter; without syslog pasta complains of that too, often. */
function lastWords(words: string): string {
  const lines = words
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('Failed to send '))
  return lines.at(-1) ?? 'it ended without a word'
}

/**
 * The address of this machine that others would see: by it a step in its own network reaches what listens here on all
 * addresses, as by Docker's `host-gateway`. Undefined without an IPv4 route.
 */
export async function ownAddress(): Promise<string | undefined> {
  const socket = createSocket('udp4')
  try {
    // Connecting a datagram socket sends nothing; it only chooses the route (RFC 5737: nobody has this address).
    socket.connect(9, '203.0.113.1')
    await once(socket, 'connect')
    return socket.address().address
  } catch (error) {
    if (errnoOf(error) === 'ENETUNREACH') return undefined
    throw error
  } finally {
    socket.close()
  }
}
