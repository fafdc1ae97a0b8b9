import { setMaxListeners } from 'node:events'
import { isatty } from 'node:tty'
import type { CommandContext } from './command.ts'
import { CommandError } from './errors.ts'

/** 128 + SIGPIPE. */
const STATUS_BROKEN_PIPE = 141
/** Likewise. */
const STATUS_OF_SIGNAL = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

/**
 * Runs `task` as the whole work of this process and exits with its status. The first SIGINT, SIGTERM or SIGHUP aborts the
 * context's signal and leaves time to clean up; the second exits at once. Interrupted work ends with 130, 143 or 129.
 */
export async function runProcess(
  task: (context: CommandContext) => Promise<number>,
): Promise<void> {
  const controller = new AbortController()
  // Whatever waits listens, for each of a dozen base images say: that many is no leak, and node would warn of one.
  setMaxListeners(0, controller.signal)
  let interrupted: number | undefined
  const onSignal = (name: keyof typeof STATUS_OF_SIGNAL): void => {
    // A terminal has closed that we do not use: `nohup` asks to go on, and node has forgotten that SIGHUP was ignored.
    if (name === 'SIGHUP' && !hasTerminal()) return
    const status = STATUS_OF_SIGNAL[name]
    if (interrupted !== undefined) {
      process.exit(status)
    }
    interrupted = status
    controller.abort(new DOMException(`interrupted by ${name}`, 'AbortError'))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  process.on('SIGHUP', onSignal)
  // Nobody reads results any more (`tsbuild images | head -1`): the end that SIGPIPE has elsewhere, with time to clean up.
  // What cannot be written otherwise (the disk is full) is a failure.
  let unwritten: Error | undefined
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') interrupted ??= STATUS_BROKEN_PIPE
    else unwritten ??= error
    controller.abort(new DOMException('nobody reads the output', 'AbortError'))
  })
  // The log cannot be written (`tsbuild build . 2>&1 | grep -m1 x`): the build goes on, its status says how it ended.
  process.stderr.on('error', () => {})

  let status: number
  try {
    status = await task({
      stdin: process.stdin,
      stdout: process.stdout,
      stderr: process.stderr,
      env: process.env,
      cwd: process.cwd(),
      signal: controller.signal,
    })
  } catch (error) {
    status = unwritten === undefined ? await report(error, interrupted !== undefined) : 1
  }
  await flushed(process.stdout)
  if (unwritten !== undefined) {
    status = await report(unwrittenError(unwritten), false)
  }
  await flushed(process.stderr)
  // Sockets that are kept open for reuse must not keep the process.
  process.exit(interrupted ?? status)
}

function hasTerminal(): boolean {
  return [0, 1, 2].some((fd) => isatty(fd))
}

async function report(error: unknown, isInterrupted: boolean): Promise<number> {
  const { reportFailure } = await import('./report-failure.ts')
  const isDebug = process.argv.includes('--debug') || process.argv.includes('-D')
  return reportFailure(error, process.stderr, { isInterrupted, isDebug })
}

function unwrittenError(cause: Error): CommandError {
  return new CommandError(
    'destination-unusable',
    `could not write to standard output: ${cause.message}`,
    { cause },
  )
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    // A broken pipe calls back too, with its error.
    stream.write('', () => resolve())
  })
}
