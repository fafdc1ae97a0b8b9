import type { FlagSpecs, ParsedArgs, ParseOptions } from './args.ts'

/** A stream that results or messages are written to; the optional fields are those of a terminal. */
export interface OutputStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

/** The world as a command sees it; tests pass their own. */
export interface CommandContext {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean }
  /** Results. */
  readonly stdout: OutputStream
  /** Progress, notices, errors. */
  readonly stderr: OutputStream
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal
}

/** One word of the command line. Its file is loaded only when the word was given. */
export interface Command {
  readonly name: string
  /** After `tsbuild `, e.g. `tag SOURCE TARGET`. */
  readonly usage: string
  /** A sentence or two for `--help`. */
  readonly description: string
  readonly flags: FlagSpecs
  readonly arguments: { readonly min: number; readonly max: number }
  readonly parsing?: ParseOptions
  /** Resolves to the exit status; failures are thrown. */
  run(args: ParsedArgs, context: CommandContext): Promise<number>
}

/** What the help shows of a command, and how to get the rest of it. */
export interface CommandEntry {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<Command>
}
