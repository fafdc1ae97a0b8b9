import { DockerfileError } from './errors.ts'
import type { Range } from './diagnostics.ts'
import type { StageState } from './stages.ts'

/**
 * The error for a stage that needs itself through `--from` or mounts, if there is one (features row D63). Bases cannot be
 * part of a circle: FROM only sees stages above. Works without recursion, files may have thousands of stages.
 */
export function findCircle(stages: readonly StageState[]): DockerfileError | undefined {
  const done = new Set<StageState>()
  for (const start of stages) {
    const open = new Set<StageState>()
    const path: { state: StageState; waiting: Dependency[] }[] = []
    const enter = (state: StageState) => {
      open.add(state)
      path.push({ state, waiting: dependencies(state) })
    }
    if (!done.has(start)) enter(start)
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const next = top.waiting.shift()
      if (next === undefined) {
        path.pop()
        open.delete(top.state)
        done.add(top.state)
      } else if (open.has(next.state)) return circleError(next)
      else if (!done.has(next.state)) enter(next.state)
    }
  }
  return undefined
}

interface Dependency {
  readonly state: StageState
  readonly range: Range
}

function dependencies(state: StageState): Dependency[] {
  return state.commands.flatMap(({ command, sources }) =>
    sources.flatMap((source) =>
      source === undefined ? [] : [{ state: source, range: command.range }],
    ),
  )
}

function circleError({ state, range }: Dependency): DockerfileError {
  const message = `circular dependency detected on stage: ${state.title}`
  const related = { range: state.range, label: 'the stage begins here' }
  return new DockerfileError('circular-stage', message, { range, related, focus: state.title })
}
