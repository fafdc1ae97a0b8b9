import {
  bigLayers,
  type ContextWriter,
  dockerfile,
  manyFiles,
  oneFile,
  smallProject,
} from './contexts.ts'

/** Where the result goes. `nowhere`: an image that stays would keep its base from being pulled again. */
export type Output = 'store' | 'push' | 'push-zstd' | 'nowhere'

export interface Workload {
  readonly id: string
  /** For the table. */
  readonly title: string
  /** Directory of the context, shared by workloads of the same name. */
  readonly context: string
  readonly write: ContextWriter
  /** Before each run: forget everything, or change one small file. */
  readonly before: 'nothing' | 'prune' | 'edit'
  readonly noCache: boolean
  readonly output: Output
  readonly runs: number
  /** Largest ratio to BuildKit that the design allows. */
  readonly budget: number | undefined
  /** `extra`: only with `--all` or by name: minutes for each run of a peer. */
  readonly kind: 'budget' | 'extra'
  /** Files and bytes, for the growth curves. */
  readonly size: number | undefined
}

type Settings = Partial<Omit<Workload, 'id' | 'title' | 'context' | 'write'>>

function workload(
  id: string,
  title: string,
  context: readonly [string, ContextWriter],
  settings: Settings,
): Workload {
  return {
    id,
    title,
    context: context[0],
    write: context[1],
    before: 'nothing',
    noCache: false,
    output: 'store',
    runs: 3,
    budget: undefined,
    kind: 'budget',
    size: undefined,
    ...settings,
  }
}

const small = ['small', smallProject] as const
const files50k = ['files-50000', manyFiles(50_000, 8000)] as const
const big = ['big', bigLayers] as const
const count = (to: number): number[] => Array.from({ length: to }, (_, i) => i)
const BUSY = 'i=0; while [ $i -lt 700000 ]; do i=$((i+1)); done; echo $i > /out'

/** The budgets of the design, then what shows that cost grows with the work and not faster. */
export const WORKLOADS: readonly Workload[] = [
  workload('unchanged', 'nothing changed, 2 stages, 16 instructions', small, {
    runs: 9,
    budget: 0.85,
  }),
  workload('copy-50k', 'COPY of 50,000 files, 417 MB, first time', files50k, {
    before: 'prune',
    budget: 0.1,
  }),
  workload('copy-50k-unchanged', 'the same, nothing changed', files50k, { runs: 5, budget: 0.3 }),
  workload('copy-50k-edited', 'the same, one small file changed', files50k, {
    before: 'edit',
    budget: 0.1,
  }),
  workload(
    'steps-40',
    '40 RUN steps of a trivial command',
    [
      'steps-40',
      dockerfile((bases) => [
        `FROM ${bases}busybox`,
        ...count(40).map((i) => `RUN echo ${i} > /s${i}`),
      ]),
    ],
    { noCache: true, budget: 0.2 },
  ),
  workload(
    'run-50k',
    'RUN that writes 50,000 small files',
    [
      'run-50k',
      dockerfile((bases) => [
        `FROM ${bases}busybox`,
        'RUN for d in $(seq 1 250); do mkdir -p /o/$d; for f in $(seq 1 200); do echo "$d $f some content here" > /o/$d/$f; done; done',
      ]),
    ],
    { noCache: true, budget: 0.4 },
  ),
  workload('push-gzip', '1.2 GB in three layers (base, COPY, RUN), gzip, to a registry', big, {
    noCache: true,
    output: 'push',
    budget: 0.15,
  }),
  workload('push-zstd', 'the same with zstd', big, {
    noCache: true,
    output: 'push-zstd',
    budget: 0.6,
  }),
  workload(
    'pull-run',
    'pull of a 90 MB (compressed) base and one RUN',
    ['pull-run', dockerfile((bases) => [`FROM ${bases}node:20`, 'RUN node -e 1'])],
    { before: 'prune', output: 'nowhere', budget: 0.5 },
  ),
  workload(
    'parallel-4',
    '4 CPU-bound stages on 2 cores',
    [
      'parallel-4',
      dockerfile((bases) => [
        ...[1, 2, 3, 4].flatMap((i) => [`FROM ${bases}busybox AS s${i}`, `RUN ${BUSY}${i}`]),
        'FROM scratch',
        ...[1, 2, 3, 4].map((i) => `COPY --from=s${i} /out${i} /`),
      ]),
    ],
    { noCache: true, budget: 1 },
  ),
  workload(
    'layers-100',
    '100 layers of one small file each',
    [
      'layers-100',
      dockerfile((bases) => [
        `FROM ${bases}busybox`,
        ...count(100).map((i) => `RUN echo ${i} > /f${i}`),
      ]),
    ],
    { noCache: true, kind: 'extra' },
  ),
  workload(
    'stage-2000',
    'COPY --from of 2,000 files of 1 MB',
    [
      'stage-2000',
      dockerfile((bases) => [
        `FROM ${bases}busybox AS made`,
        'RUN mkdir /o; yes "some text to fill a megabyte with" | head -c 1048576 > /m; for i in $(seq 1 2000); do cp /m /o/$i; done',
        'FROM scratch',
        'COPY --from=made /o /o',
      ]),
    ],
    { noCache: true, runs: 1, kind: 'extra' },
  ),
  ...[1000, 10_000, 100_000, 500_000].map((files) =>
    workload(
      `grow-files-${files}`,
      `COPY of ${files.toLocaleString('en')} files of 1 KB`,
      [`grow-files-${files}`, manyFiles(files, 800)],
      { before: 'prune', runs: 1, kind: 'extra', size: files },
    ),
  ),
  ...[100, 1000, 8000].map((megabytes) =>
    workload(
      `grow-bytes-${megabytes}`,
      `COPY of one file of ${megabytes} MB`,
      [`grow-bytes-${megabytes}`, oneFile(megabytes * 1e6, false)],
      { before: 'prune', runs: 1, kind: 'extra', size: megabytes },
    ),
  ),
  workload(
    'sparse-8000',
    'COPY of one sparse file of 8,000 MB',
    ['sparse-8000', oneFile(8e9, true)],
    { before: 'prune', runs: 1, kind: 'extra' },
  ),
]
