/** SGR parameters (ECMA-48) of what the live view paints. */
export interface Colours {
  readonly run: string
  readonly cancel: string
  readonly error: string
  readonly warning: string
}

const DEFAULTS: Colours = { run: '34', cancel: '33', error: '31', warning: '33' }

const NAMES: ReadonlyMap<string, string> = new Map(
  ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'].flatMap((name, index) => [
    [name, `${30 + index}`] as const,
    [`light-${name}`, `${90 + index}`] as const,
  ]),
)

/**
 * The colours by BUILDKIT_COLORS (`run=green:error=255,165,0`, fields run, cancel, error and warning; names or RGB);
 * undefined with NO_COLOR (features row C63). What is not understood keeps its default: no build fails for its colours.
 */
export function readColours(
  env: Readonly<Record<string, string | undefined>>,
): Colours | undefined {
  if ((env['NO_COLOR'] ?? '') !== '') return undefined
  const fields = (env['BUILDKIT_COLORS'] ?? '').split(':').map((field) => field.trim().split('='))
  const given = new Map(
    fields.map(([name = '', value = '']) => [name.toLowerCase(), sgrOf(value.toLowerCase())]),
  )
  return {
    run: given.get('run') ?? DEFAULTS.run,
    cancel: given.get('cancel') ?? DEFAULTS.cancel,
    error: given.get('error') ?? DEFAULTS.error,
    warning: given.get('warning') ?? DEFAULTS.warning,
  }
}

function sgrOf(value: string): string | undefined {
  const named = NAMES.get(value)
  if (named !== undefined || !/^\d{1,3}(,\d{1,3}){2}$/.test(value)) return named
  const parts = value.split(',').map(Number)
  return parts.every((part) => part <= 255) ? `38;2;${parts.join(';')}` : undefined
}
