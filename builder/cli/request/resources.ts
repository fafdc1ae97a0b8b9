import type { ResourceLimits } from '../../worker/protocol.ts'
import type { FlagSpecs, ParsedArgs } from '../args.ts'
import { UsageError } from '../errors.ts'
import { readSizeBytes } from './size.ts'

/** What a limit takes, and what it becomes. */
const LIMITS: Readonly<Record<string, (text: string, flag: string) => ResourceLimits>> = {
  memory: (text, flag) => unlessZero('memoryBytes', readSizeBytes(text, flag)),
  'memory-swap': (text, flag) =>
    unlessZero('memorySwapBytes', text === '-1' ? -1 : readSizeBytes(text, flag)),
  'cpu-shares': (text, flag) => unlessZero('cpuShares', wholeNumber(text, flag)),
  'cpu-period': (text, flag) => unlessZero('cpuPeriodUs', wholeNumber(text, flag)),
  'cpu-quota': (text, flag) =>
    unlessZero('cpuQuotaUs', text === '-1' ? 0 : wholeNumber(text, flag)),
  cpus: (text, flag) => cpuTime(text, flag),
  'cpuset-cpus': (text, flag) => (text === '' ? {} : { cpusetCpus: numberList(text, flag) }),
  'cpuset-mems': (text, flag) => (text === '' ? {} : { cpusetMems: numberList(text, flag) }),
  'pids-limit': (text, flag) => pidsLimit(text, flag),
}

/** `--resource` and the older flags for the same (features row C41); these are for each RUN step. */
export const RESOURCE_FLAGS: FlagSpecs = {
  resource: {
    kind: 'list',
    value: 'K=V,...',
    help: `Limit of each RUN step: ${Object.keys(LIMITS).join(', ')}`,
  },
  memory: { kind: 'text', short: 'm' },
  'memory-swap': { kind: 'text' },
  'cpu-shares': { kind: 'text', short: 'c' },
  'cpu-period': { kind: 'text' },
  'cpu-quota': { kind: 'text' },
  cpus: { kind: 'text', value: 'N', help: 'Processors that each RUN step may use, such as 1.5' },
  'cpuset-cpus': { kind: 'text' },
  'cpuset-mems': { kind: 'text' },
  'pids-limit': { kind: 'text', value: 'N', help: 'Processes that each RUN step may have' },
}

/** The limits that the command line sets; `--resource` goes before the older flags. Throws `UsageError`. */
export function readResources(args: ParsedArgs): ResourceLimits {
  let limits: ResourceLimits = {}
  for (const [name, read] of Object.entries(LIMITS)) {
    const text = args.text(name)
    limits = text === undefined ? limits : { ...limits, ...read(text, name) }
  }
  for (const text of args.list('resource')) {
    // buildx has one limit in each flag; the commas of a list of processors end nothing.
    for (const field of text.split(/,(?=[^,=]*=)/)) {
      const [key = '', ...rest] = field.split('=')
      const read = Object.hasOwn(LIMITS, key.trim()) ? LIMITS[key.trim()] : undefined
      if (read === undefined || rest.length === 0) {
        throw new UsageError(
          `invalid argument "${text}" for "--resource" flag: it must be LIMIT=VALUE (known: ${Object.keys(LIMITS).join(', ')})`,
        )
      }
      limits = { ...limits, ...read(rest.join('=').trim(), 'resource') }
    }
  }
  return limits
}

/** As `docker run` has it: 0 is no limit. */
function unlessZero(
  name: 'memoryBytes' | 'memorySwapBytes' | 'cpuShares' | 'cpuPeriodUs' | 'cpuQuotaUs' | 'pidsMax',
  value: number,
): ResourceLimits {
  return value === 0 ? {} : { [name]: value }
}

const CPU_PERIOD_US = 100_000
/** The kernel takes no less for a quota. */
const CPU_QUOTA_US_MIN = 1000

/** As `docker run --cpus`: a quota of the usual period. 0: no limit. */
function cpuTime(text: string, flag: string): ResourceLimits {
  const cpuQuotaUs = Math.round(Number(text) * CPU_PERIOD_US)
  if (
    !/^\d{1,4}(?:\.\d{1,9})?$/.test(text) ||
    (cpuQuotaUs < CPU_QUOTA_US_MIN && Number(text) > 0)
  ) {
    throw new UsageError(
      `invalid argument "${text}" for "--${flag}" flag: it must be a number of processors, at least 0.01`,
    )
  }
  return cpuQuotaUs === 0 ? {} : { cpuPeriodUs: CPU_PERIOD_US, cpuQuotaUs }
}

/** As `docker run --pids-limit`: -1 and 0 are no limit. */
function pidsLimit(text: string, flag: string): ResourceLimits {
  return unlessZero('pidsMax', text === '-1' ? 0 : wholeNumber(text, flag))
}

function wholeNumber(text: string, flag: string): number {
  if (!/^\d{1,12}$/.test(text)) {
    throw new UsageError(
      `invalid argument "${text}" for "--${flag}" flag: it must be a whole number`,
    )
  }
  return Number(text)
}

/** As the kernel takes it in cpuset.cpus: `0-2,4`. */
function numberList(text: string, flag: string): string {
  if (!/^\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*$/.test(text)) {
    throw new UsageError(
      `invalid argument "${text}" for "--${flag}" flag: it must be a list such as 0-2,4`,
    )
  }
  return text
}
