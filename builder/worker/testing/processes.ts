import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

const DEATH_MS_MAX = 2000

export interface ProcessInfo {
  readonly pid: number
  readonly name: string
  readonly command: string
}

/** Every process that descends from `root`, as /proc tells it now. */
export function processesBelow(root: number): ProcessInfo[] {
  const parents = new Map<number, number>()
  const found = new Map<number, ProcessInfo>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const pid = Number(entry)
    const stat = readProc(pid, 'stat')
    const match = /^\d+ \((.*)\) \S (\d+)/s.exec(stat)
    if (match === null) continue
    parents.set(pid, Number(match[2]))
    found.set(pid, {
      pid,
      name: match[1] ?? '',
      command: readProc(pid, 'cmdline').replaceAll('\0', ' '),
    })
  }
  const descends = (pid: number): boolean => {
    for (let at = parents.get(pid); at !== undefined; at = parents.get(at))
      if (at === root) return true
    return false
  }
  return [...found.values()].filter(({ pid }) => descends(pid))
}

/** Processes of this machine whose command line or environment holds `word`, and what each is doing. */
export function processesNaming(word: string): string[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return []
    const pid = Number(entry)
    const command = readProc(pid, 'cmdline')
    const isNamed = command.includes(word) || readProc(pid, 'environ').includes(word)
    return isNamed ? [`${pid} ${doing(pid)} ${command.replaceAll('\0', ' ')}`] : []
  })
}

/** State, whether SIGKILL waits for it, and where in the kernel it is: why a killed process may still be there. */
function doing(pid: number): string {
  const status = readProc(pid, 'status')
  const field = (name: string): string =>
    new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '?'
  const where = readProc(pid, 'stack').trim().split('\n').slice(0, 4).join('; ')
  return `(${field('State')}, pending ${field('ShdPnd')}, in ${readProc(pid, 'wchan')} ${where})`
}

/** False for a zombie, which only waits to be reaped. */
export function processIsAlive(pid: number): boolean {
  const stat = readProc(pid, 'stat')
  return stat !== '' && !/^\d+ \(.*\) Z/s.test(stat)
}

/** Resolves when none of them runs any more; rejects, naming them, when that takes longer than a killed step may. */
export async function allDead(pids: readonly number[]): Promise<void> {
  const deadline = performance.now() + DEATH_MS_MAX
  for (;;) {
    const alive = pids.filter(processIsAlive)
    if (alive.length === 0) return
    if (performance.now() > deadline) throw new Error(`still running: ${alive.join(', ')}`)
    await delay(5)
  }
}

/** '' for a process that ended meanwhile. */
function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}
