import { renderTable } from './text-table.ts'

/** What can be asked about a Dockerfile instead of building it, as BuildKit's frontend lists it (features row L24). */
const REQUESTS = [
  {
    name: 'outline',
    description: 'List all parameters current build target supports',
    opts: [{ name: 'target', description: 'Target build stage' }],
  },
  { name: 'targets', description: 'List all targets current build supports', opts: [] },
  { name: 'subrequests.describe', description: 'List available subrequest types', opts: null },
] as const

const VERSION = '1.0.0'
const RESULTS = ['result.json', 'result.txt'].map((name) => ({ name, description: '' }))

/** The text of `--call=subrequests.describe`. */
export function renderRequests(): string {
  const rows = REQUESTS.map(({ name, description }) => [name, VERSION, description])
  return renderTable([['NAME', 'VERSION', 'DESCRIPTION'], ...rows], 1)
}

/** The JSON of `--call=subrequests.describe,format=json`. */
export function requestsJson(): string {
  const document = REQUESTS.map(({ name, description, opts }) => ({
    name: `frontend.${name}`,
    version: VERSION,
    type: 'rpc',
    description,
    opts,
    inputs: null,
    metadata: RESULTS,
    refs: null,
  }))
  return JSON.stringify(document, undefined, 2)
}
