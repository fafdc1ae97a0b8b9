import { BuildError } from '../errors.ts'
import { CacheMounts } from '../ops/cache-mounts.ts'
import type { FailedStep } from '../ops/failed-step.ts'
import { LayerAccess } from '../ops/layer-access.ts'
import { prepareMounts } from '../ops/run-mounts.ts'
import { readLayerContents } from '../ops/read-contents.ts'
import { Secrets } from '../ops/secrets.ts'
import type { BuildRequest } from '../request.ts'
import type { LayerStack } from '../solver/layer.ts'
import { createLimits } from '../solver/limits.ts'
import { StepReporter } from '../solver/steps.ts'
import { needsCgroup } from '../sandbox/cgroup.ts'
import { startWorker } from '../worker/start-worker.ts'
import type { RunRequest, Worker } from '../worker/protocol.ts'
import type { CommandContext } from './command.ts'
import { CommandError } from './errors.ts'
import { neutralise } from './progress/terminal-text.ts'
import type { CommandServices } from './services.ts'
import {
  proxyVariables,
  recordedSources,
  recordedStack,
  refuseNewCache,
  usableMounts,
} from './shell-mounts.ts'

const SHELL_DEFAULT = ['/bin/sh', '-c']
/** As of a shell: the program is not there, or is none. */
const NOT_EXECUTED: ReadonlySet<number> = new Set([126, 127])

export interface ShellOptions {
  readonly step: FailedStep
  /** What its command wrote. */
  readonly layer: string
  readonly secrets: Pick<BuildRequest, 'secrets' | 'ssh'>
}

/**
 * A shell in a failed step: its filesystem as the command left it, its mounts, environment, working directory and user.
 * What the shell writes is thrown away (but in cache mounts). On a terminal it is interactive, else it reads its commands
 * from stdin. Resolves to its exit status. Errors: `layer-missing`, `shell-missing`, those of the sandbox.
 */
export async function openShell(
  options: ShellOptions,
  services: CommandServices,
  context: CommandContext,
): Promise<number> {
  const { step } = options
  const { stdin, stdout, stderr, signal } = context
  const say = (text: string): void => void stderr.write(`NOTE: ${text}\n`)
  await using secrets = new Secrets(options.secrets, context.env, () =>
    services.store.lease.temporaryPath(),
  )
  const { limits, cgroupParent } = step.surroundings
  const hasLimits = needsCgroup(limits, cgroupParent)
  await using worker = await startWorker(
    { store: services.store, onNotice: say, hasLimits },
    signal,
  )
  if (worker.info.notice !== undefined) say(worker.info.notice)
  const access = layerAccess(services, worker)
  const stackDirectories = (stack: LayerStack): ReturnType<LayerAccess['directories']> =>
    access.directories(stack, signal)
  const usable = await usableMounts(step, secrets, services.store.root.mountsDir)
  await using prepared = await prepareMounts(
    { ...step.node, mounts: usable.mounts, origin: { ignoreCache: false } },
    {
      secrets,
      sources: recordedSources(step, stackDirectories),
      cacheMounts: new CacheMounts(services.store),
      makeOwned: refuseNewCache,
    },
    signal,
  )
  const proxies = proxyVariables(step, context.env)
  const isTerminal = stdin.isTTY === true && stdout.isTTY === true
  const { cwd, user, security, env } = step.node
  const base: Omit<RunRequest, 'args'> = {
    layers: [
      ...(await stackDirectories(recordedStack(step, step.layers))),
      { path: options.layer },
    ],
    env: [
      ...(isTerminal ? [`TERM=${context.env['TERM'] || 'xterm'}`] : []),
      ...env,
      ...proxies.env,
      ...prepared.env,
    ],
    ...{ cwd, user, security, mounts: prepared.mounts },
    ...step.surroundings,
    cgroupParent,
    stdio: isTerminal ? 'terminal' : 'inherited',
    commitTo: undefined,
  }
  const program = await findShell(step, base, worker, signal)
  for (const text of [...usable.notes, ...proxies.notes]) say(text)
  if (isTerminal) stderr.write(greeting(step))
  const result = await worker.run(
    { ...base, args: program },
    (stream, bytes) => (stream === 'stdout' ? stdout : stderr).write(bytes),
    signal,
  )
  signal.throwIfAborted()
  return result.exitCode
}

function greeting({ title, reason }: FailedStep): string {
  const shown = neutralise(title.replace(/\s*\n\s*/g, ' '))
  return `${shown}: ${reason}\nThis is the step as it failed. What you write is thrown away; exit ends the shell.\n`
}

/**
 * SHELL without what makes it read one command, else /bin/sh. Only the image knows which is there, so each is tried,
 * unless the step itself was run by it.
 */
async function findShell(
  step: FailedStep,
  request: Omit<RunRequest, 'args'>,
  worker: Worker,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const shells = [step.node.shell, SHELL_DEFAULT]
  for (const shell of shells) {
    const trial = { ...request, args: [...shell, 'exit 0'], mounts: [], stdio: 'captured' } as const
    const isThere =
      wasRunBy(shell, step) ||
      !NOT_EXECUTED.has((await worker.run(trial, () => {}, signal)).exitCode)
    const options = shell.findIndex((word) => word.startsWith('-'))
    if (isThere) return options < 0 ? shell : shell.slice(0, options)
  }
  const names = [...new Set(shells.map(([name = '']) => name))].join(' and no ')
  throw new CommandError(
    'shell-missing',
    `could not open a shell in ${JSON.stringify(step.title)}: the image has no ${names}`,
    { hint: 'name a shell that it has with SHELL in the Dockerfile' },
  )
}

function wasRunBy(shell: readonly string[], { node, reason }: FailedStep): boolean {
  return (
    shell.every((word, index) => node.args[index] === word) &&
    ![...NOT_EXECUTED].some((status) => reason === `exit code: ${status}`)
  )
}

function layerAccess({ store, kernel }: CommandServices, worker: Worker): LayerAccess {
  return new LayerAccess({
    // They are unpacked already, or very soon are: the step ran over them.
    steps: new StepReporter(() => {}),
    store,
    limits: createLimits(1),
    worker: async () => worker,
    fetchBlob: async (layer) => {
      throw new BuildError(
        'layer-missing',
        `could not use a layer of ${JSON.stringify(layer.title)}: it is no longer in the store; build again`,
      )
    },
    readContents: (path, layer, blob, signal) =>
      readLayerContents(path, layer, blob, { store, kernel }, signal),
  })
}
