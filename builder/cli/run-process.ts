import type { CommandContext } from './command.ts'

/** 128 + SIGPIPE. */
const STATUS_BROKEN_PIPE = 141

/**
 * Runs `task` as the whole work of this process and exits with its status. The first SIGINT or SIGTERM aborts
 * the context's signal and leaves time to clean up; the second exits at once. Interrupted work ends with 130 or 143.
 */
export async function runProcess(
  task: (context: CommandContext) => Promise<number>,
): Promise<void> {
  const controller = new AbortController()
  let interrupted: number | undefined
  const onSignal = (name: 'SIGINT' | 'SIGTERM'): void => {
    const status = name === 'SIGINT' ? 130 : 143
    if (interrupted !== undefined) {
      process.exit(status)
    }
    interrupted = status
    controller.abort(new DOMException(`interrupted by ${name}`, 'AbortError'))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  // Nobody reads results any more (`tsbuild images | head -1`): the end that SIGPIPE has elsewhere, with time to clean up.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    throwUnlessBroken(error)
    interrupted ??= STATUS_BROKEN_PIPE
    controller.abort(new DOMException('nobody reads the output', 'AbortError'))
  })
  // Nobody reads the log (`tsbuild build . 2>&1 | grep -m1 x`): the build goes on, its status says how it ended.
  process.stderr.on('error', throwUnlessBroken)

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
    const { reportFailure } = await import('./report-failure.ts')
    const isDebug = process.argv.includes('--debug') || process.argv.includes('-D')
    status = reportFailure(error, process.stderr, {
      isInterrupted: interrupted !== undefined,
      isDebug,
    })
  }
  await flushed(process.stdout)
  await flushed(process.stderr)
  // Sockets that are kept open for reuse must not keep the process.
  process.exit(interrupted ?? status)
}

function throwUnlessBroken(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') {
    throw error
  }
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    // A broken pipe calls back too, with its error.
    stream.write('', () => resolve())
  })
}
