import { readdirSync, readFileSync } from 'node:fs'

const INTERVAL_MS = 50

/**
 * Samples the memory of a process with all its descendants, and of daemons by name, as the sum of their proportional
 * set sizes (proc(5), smaps_rollup): what is shared between them counts once. Peaks between two samples are missed.
 */
export class MemoryWatch {
  readonly #pid: number
  readonly #daemons: ReadonlySet<string>
  readonly #timer: NodeJS.Timeout
  #peakBytes = 0

  constructor(pid: number, daemons: readonly string[]) {
    this.#pid = pid
    this.#daemons = new Set(daemons)
    this.#timer = setInterval(() => this.#sample(), INTERVAL_MS)
  }

  /** Ends the watch: the largest sum seen. */
  stop(): number {
    clearInterval(this.#timer)
    return this.#peakBytes
  }

  #sample(): void {
    let sum = 0
    for (const pid of this.#watched()) {
      sum += proportionalBytes(pid)
    }
    this.#peakBytes = Math.max(this.#peakBytes, sum)
  }

  #watched(): Set<number> {
    const processes = readdirSync('/proc').flatMap((name) =>
      /^\d+$/.test(name) ? (readProcess(Number(name)) ?? []) : [],
    )
    const watched = new Set([this.#pid])
    for (const { pid, name } of processes) {
      if (this.#daemons.has(name)) {
        watched.add(pid)
      }
    }
    // Children have no fixed order in /proc: repeated until nothing is added.
    for (let before = 0; before !== watched.size; ) {
      before = watched.size
      for (const { pid, parent } of processes) {
        if (watched.has(parent)) {
          watched.add(pid)
        }
      }
    }
    return watched
  }
}

interface Process {
  readonly pid: number
  readonly parent: number
  readonly name: string
}

/** Undefined when it has ended meanwhile. */
function readProcess(pid: number): Process | undefined {
  const stat = readOrNothing(`/proc/${pid}/stat`)
  // The name stands in parentheses and may hold any character.
  const [, name = '', parent] = /^\d+ \((.*)\) \S (\d+)/s.exec(stat) ?? []
  return parent === undefined ? undefined : { pid, parent: Number(parent), name }
}

function proportionalBytes(pid: number): number {
  const [, kilobytes] = /^Pss:\s+(\d+) kB$/m.exec(readOrNothing(`/proc/${pid}/smaps_rollup`)) ?? []
  return Number(kilobytes ?? 0) * 1024
}

/** Processes end at any moment: ESRCH and ENOENT are answers. */
function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
