import type { ParsedArgs } from './args.ts'
import type { CommandContext } from './command.ts'
import { createProgressPrinter } from './progress/printer.ts'
import { Registries } from './services.ts'
import { StepReporter } from '../solver/steps.ts'

/** What a command that moves blobs works with. */
export interface MovingServices {
  readonly steps: StepReporter
  readonly registries: Registries
}

/** Runs `work` with a progress view on stderr and registry clients that end with it; `-q` shows nothing. */
export async function withProgress<T>(
  args: ParsedArgs,
  context: CommandContext,
  work: (services: MovingServices) => Promise<T>,
): Promise<T> {
  const mode = args.boolean('quiet') === true ? 'quiet' : 'auto'
  const printer = await createProgressPrinter(mode, context.stderr, context.env, {
    activity: 'Working',
  })
  try {
    const steps = new StepReporter((event) => printer.handle(event))
    await using registries = new Registries(args, context, (text) => steps.notice(text))
    return await work({ steps, registries })
  } finally {
    printer.finish()
  }
}
