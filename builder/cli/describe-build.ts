import type { BuildRequest } from '../request.ts'
import type { ParsedArgs } from './args.ts'
import type { CommandContext } from './command.ts'
import { CommandError } from './errors.ts'
import type { CallMethod } from './request/call-method.ts'

/** `--check`, `--call`: describes the Dockerfile instead of building it; resolves to the exit status. */
export async function describeBuild(
  _request: BuildRequest,
  call: CallMethod,
  _args: ParsedArgs,
  _context: CommandContext,
): Promise<number> {
  throw new CommandError('not-supported', `could not describe the build: --call=${call.method} is not supported`)
}
