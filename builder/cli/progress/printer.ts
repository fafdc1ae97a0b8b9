import type { BuildEvent } from '../../events.ts'
import type { OutputStream } from '../command.ts'

/** Shows the events of one build. `finish` is called once, after the last event and before any error is printed. */
export interface ProgressPrinter {
  handle(event: BuildEvent): void
  finish(): void
  /** True when `finish` prints the output of failed steps, so that nobody has to print it again. */
  readonly showsFailedLogs: boolean
}

export type ProgressMode = 'auto' | 'plain' | 'tty' | 'quiet' | 'rawjson' | 'none'

export interface ViewOptions {
  /** The word in the first line of the live view. */
  readonly activity: string
  /** Warnings are shown with all that is known of them. */
  readonly isDebug: boolean
}

/**
 * The printer for `mode` on `stream`; only its file is loaded. `auto` is `tty` on a terminal and `plain` elsewhere;
 * `tty` on something else falls back to `plain`.
 */
export async function createProgressPrinter(
  mode: ProgressMode,
  stream: OutputStream,
  env: Readonly<Record<string, string | undefined>>,
  { activity = 'Building', isDebug = false }: Partial<ViewOptions> = {},
): Promise<ProgressPrinter> {
  switch (mode) {
    case 'auto':
    case 'tty':
      if (stream.isTTY === true && env['TERM'] !== 'dumb') {
        return new (await import('./tty.ts')).TtyPrinter(stream, env, { activity, isDebug })
      }
      return new (await import('./plain.ts')).PlainPrinter(stream, isDebug)
    case 'plain':
      return new (await import('./plain.ts')).PlainPrinter(stream, isDebug)
    case 'rawjson':
      return new (await import('./rawjson.ts')).RawJsonPrinter(stream)
    case 'quiet':
    case 'none':
      return { handle: () => {}, finish: () => {}, showsFailedLogs: false }
    default:
      return mode satisfies never
  }
}
