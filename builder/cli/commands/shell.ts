import { FAILED_STEPS_MAX, FailedSteps } from '../../ops/failed-steps.ts'
import type { ParsedArgs } from '../args.ts'
import type { Command, CommandContext } from '../command.ts'
import { CommandError, UsageError } from '../errors.ts'
import { formatBytes } from '../progress/format.ts'
import { neutralise } from '../progress/terminal-text.ts'
import { ROOT_FLAG, SECRET_FLAGS } from '../request/build-flags.ts'
import { checkSsh, readSecrets, readSsh } from '../request/secrets.ts'
import { type CommandServices, openServices } from '../services.ts'
import { formatAge, renderTable } from '../table.ts'

export const shellCommand: Command = {
  name: 'shell',
  usage: 'shell [OPTIONS] [ID]',
  description:
    'Opens a shell in a RUN step that failed: its filesystem as the command left it, with its mounts, environment,\n' +
    'working directory and user. Without ID the last one. Commands may come from stdin. What the shell writes is thrown\n' +
    `away. The last ${FAILED_STEPS_MAX} failed steps are kept for a day; prune removes them.`,
  flags: {
    list: { kind: 'boolean', short: 'l', help: 'Show the failed steps that are kept' },
    ...SECRET_FLAGS,
    ...ROOT_FLAG,
  },
  arguments: { min: 0, max: 1 },
  run: async (args, context) => {
    const [id] = args.positionals
    if (id !== undefined && !/^[0-9a-f]{1,8}$/.test(id)) {
      throw new UsageError(`invalid id ${JSON.stringify(id)}: 'tsbuild shell --list' shows them`)
    }
    if (args.boolean('list') === true) {
      await using services = await openServices(args, context)
      context.stdout.write(await renderSteps(services))
      return 0
    }
    return await shellInStep(id, args, context)
  },
}

/** Opens the step and a shell in it. `args`: of this command, or of a build. Errors: `step-missing` and those of `openShell`. */
export async function shellInStep(
  id: string | undefined,
  args: ParsedArgs,
  context: CommandContext,
): Promise<number> {
  const secrets = {
    secrets: await readSecrets(args.list('secret'), context),
    ssh: await checkSsh(readSsh(args.list('ssh'), context.cwd), context.env),
  }
  await using services = await openServices(args, context)
  await using opened = await new FailedSteps(services.store).open(id, context.signal)
  if (opened === undefined) {
    const which = id === undefined ? 'a failed step' : `the failed step ${id}`
    throw new CommandError(
      'step-missing',
      `could not open a shell in ${which}: no such step is kept`,
      {
        hint: `only the last ${FAILED_STEPS_MAX} are kept, for a day: build again`,
      },
    )
  }
  const { openShell } = await import('../open-shell.ts')
  return await openShell({ ...opened, secrets }, services, context)
}

async function renderSteps({ store }: CommandServices): Promise<string> {
  const rows = (await new FailedSteps(store).list()).flatMap(({ id, step }) =>
    step === undefined
      ? []
      : [
          [
            id,
            formatAge(step.failedAt, Date.now()),
            formatBytes(step.sizeBytes),
            step.reason,
            neutralise(step.title.replace(/\s*\n\s*/g, ' ')),
          ],
        ],
  )
  return renderTable([['ID', 'FAILED', 'WROTE', 'REASON', 'STEP'], ...rows])
}
