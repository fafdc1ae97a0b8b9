import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process'

/** A sandbox-init that waits for its spec. */
export interface StartedProgram {
  readonly child: ChildProcess
  /** Resolves with words for an error; never rejects. */
  readonly ended: Promise<string>
}

/** Where a step's output is read from its reports. */
const CAPTURED = ['ignore', 'ignore', 'inherit'] as const

/** Starts `sandbox-init run` with descriptor 3 for its spec and its reports. */
export function startProgram(
  program: string,
  stdio: readonly [number, number, number] | undefined,
): StartedProgram {
  const all: StdioOptions = [...(stdio ?? CAPTURED), 'pipe']
  const child = spawn(program, ['run'], { stdio: all, env: {}, cwd: '/' })
  // One that died while it was written to is told by its exit.
  child.stdio[3]?.on('error', () => undefined)
  return { child, ended: endOf(child) }
}

async function endOf(child: ChildProcess): Promise<string> {
  return await new Promise((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`))
    child.once('exit', (code, killer) =>
      resolve(killer === null ? `ended with status ${code}` : `was killed by ${killer}`),
    )
  })
}

/**
 * One sandbox-init that is started while a step runs, for the next step: forking a process of this size and executing
 * another takes 2 to 3 ms. It ends when this process does: its channel is closed then before it was told anything.
 */
export class SpareProgram {
  readonly #program: string
  #spare: StartedProgram | undefined

  constructor(program: string) {
    this.#program = program
  }

  /** The one that waits, else a new one. */
  take(): StartedProgram {
    const spare = this.#spare
    this.#spare = undefined
    const isWaiting = spare?.child.exitCode === null && spare.child.signalCode === null
    return spare !== undefined && isWaiting ? spare : startProgram(this.#program, undefined)
  }

  /** Sees to it that one waits. */
  prepare(): void {
    this.#spare ??= startProgram(this.#program, undefined)
  }
}
