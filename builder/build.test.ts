import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  kernel,
  type LayerDirectory,
  openStore,
  type PackEntry,
  type PackResult,
} from '../snapshotter/index.ts'
import { build } from './build.ts'
import type { BuildOutcome } from './build-services.ts'
import { BuildError, StepError } from './errors.ts'
import type { BuildEvent } from './events.ts'
import type { Exporter } from './export/exporter.ts'
import { FORMAT_DEFAULT } from './export/layer-formats.ts'
import { rootManifest } from './export/layout-files.ts'
import { imageIdOf } from './export/metadata.ts'
import { ImageStore } from './image/image-store.ts'
import type { BuildRequest } from './request.ts'
import { serveHttp } from './ops/testing/http-server.ts'
import { packEntries } from './worker/pack.ts'
import type {
  MakeLayerRequest,
  PackRunRequest,
  PackTarget,
  RunRequest,
  RunResult,
  Worker,
} from './worker/protocol.ts'
import { makeHere } from './worker/testing/make-here.ts'

/** A worker that runs nothing: a RUN "writes" its own command to /out, and is counted. */
class RecordingWorker implements Worker {
  readonly info = { rung: 'root', driver: 'copy', notice: undefined } as const
  readonly commands: string[] = []
  readonly requests: RunRequest[] = []
  unpackCount = 0
  readonly #written = new Map<string, string>()
  readonly #onRun: () => Promise<void>
  isDisposed = false

  constructor(onRun: () => Promise<void>) {
    this.#onRun = onRun
  }

  async run(request: RunRequest): Promise<RunResult> {
    const command = request.args.at(-1) ?? ''
    this.commands.push(command)
    this.requests.push(request)
    await this.#onRun()
    const ended = {
      signal: undefined,
      isOutOfMemory: false,
      cpuTimeMs: 0,
      peakMemoryBytes: undefined,
      hidesDirectories: false,
    }
    if (command.startsWith('exit ')) {
      return { ...ended, exitCode: Number(command.slice(5)), diff: undefined }
    }
    const diff = `diff-${this.commands.length}`
    const content = `${command} ${this.commands.length}`
    this.#written.set(diff, content)
    const fs = join(request.commitTo ?? '', 'fs')
    await mkdir(fs, { recursive: true })
    await writeFile(join(fs, 'out'), content)
    return { ...ended, exitCode: 0, diff }
  }

  async packRun(request: PackRunRequest, signal: AbortSignal): Promise<PackResult> {
    const bytes = Buffer.from(this.#written.get(request.diff) ?? '')
    const metadata = { mode: 0o644, uid: 0, gid: 0, mtimeSec: 1 }
    const file = { ...metadata, type: 'file', path: 'out', sizeBytes: bytes.byteLength } as const
    const entries: PackEntry[] = [{ ...file, source: { kind: 'bytes', bytes } }]
    return await packEntries([entries], request, kernel, signal)
  }

  /** As if it were packed already. */
  async readDiff(): Promise<undefined> {
    return undefined
  }

  async makeLayer(
    entries: AsyncIterable<readonly PackEntry[]>,
    request: MakeLayerRequest,
    signal: AbortSignal,
  ): Promise<void> {
    await makeHere(entries, request, signal)
  }

  async packEntries(
    entries: AsyncIterable<readonly PackEntry[]>,
    request: PackTarget,
    signal: AbortSignal,
  ): Promise<PackResult> {
    return await packEntries(entries, request, kernel, signal)
  }

  async unpackLayer(
    request: Parameters<Worker['unpackLayer']>[0],
    signal: AbortSignal,
  ): ReturnType<Worker['unpackLayer']> {
    this.unpackCount += 1
    const fs = join(request.directory, 'fs')
    await mkdir(fs, { recursive: true })
    const read = await kernel.readLayer({
      blob: request.blob,
      compression: request.compression,
      extractTo: fs,
      entries: { contents: request.contents },
      whiteouts: 'overlay',
      userXattr: false,
      ownership: 'none',
      limits: { uncompressedSizeBytesMax: 1 << 30, entryCountMax: 1000 },
      signal,
    })
    return { uncompressedSizeBytes: read.uncompressedSizeBytes }
  }

  async readFile(root: LayerDirectory, path: string): Promise<Uint8Array> {
    throw new Error(`nobody should read ${root.path}/${path}`)
  }

  async removeTrees(): Promise<void> {}

  async treeSizes(): Promise<readonly number[]> {
    return []
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isDisposed = true
  }
}

/** One state root and one context; every `run` is a build of its own, with a worker of its own. */
class Bench implements AsyncDisposable {
  readonly directory: string
  /** Called by each RUN. */
  onRun = async (): Promise<void> => undefined
  worker = new RecordingWorker(this.onRun)
  workerStarts = 0
  events: BuildEvent[] = []
  exporters: readonly Exporter[] = []

  private constructor(directory: string) {
    this.directory = directory
  }

  static async open(files: Readonly<Record<string, string>>): Promise<Bench> {
    const bench = new Bench(await mkdtemp(join(tmpdir(), 'tsbuild-build-')))
    await mkdir(join(bench.directory, 'context'))
    for (const [name, content] of Object.entries(files)) {
      await bench.write(name, content)
    }
    return bench
  }

  path(name: string): string {
    return join(this.directory, 'context', name)
  }

  async write(name: string, content: string): Promise<void> {
    await writeFile(this.path(name), content)
  }

  async build(
    changes: Partial<BuildRequest> = {},
    signal = new AbortController().signal,
  ): Promise<BuildOutcome> {
    this.worker = new RecordingWorker(this.onRun)
    this.workerStarts = 0
    this.events = []
    await using store = await openStore({ path: join(this.directory, 'root'), kernel }, signal)
    const images = ImageStore.of(store)
    return await build(
      { ...REQUEST, context: { kind: 'directory', path: this.path('') }, ...changes },
      {
        store,
        images,
        kernel,
        signal,
        startWorker: async () => {
          this.workerStarts += 1
          return this.worker
        },
        registry: async () => {
          throw new Error('no registry is needed')
        },
        exporters: this.exporters,
        events: (event) => this.events.push(event),
        env: {},
      },
    )
  }

  /** Outcome of each step by the end of its title. */
  get outcomes(): Record<string, string> {
    const titles = new Map(
      this.events.flatMap((event) =>
        event.type === 'step-started' ? [[event.step, event.title]] : [],
      ),
    )
    return Object.fromEntries(
      this.events.flatMap((event) =>
        event.type === 'step-ended'
          ? [[String(titles.get(event.step)).replace(/^\[[^\]]*\] /, ''), event.outcome]]
          : [],
      ),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true })
  }
}

const REQUEST: BuildRequest = {
  context: { kind: 'none' },
  dockerfile: { kind: 'path', path: 'Dockerfile', isDefault: true },
  target: undefined,
  buildArgs: new Map(),
  namedContexts: new Map(),
  labels: new Map(),
  platforms: [{ os: 'linux', architecture: 'amd64' }],
  repeatedPlatforms: [],
  isPlatformExplicit: false,
  noCache: false,
  noCacheFilter: [],
  pull: false,
  tags: [],
  outputs: [],
  cacheFrom: [],
  cacheTo: [],
  secrets: [],
  ssh: [],
  network: 'default',
  extraHosts: [],
  ulimits: [],
  shmSizeBytes: undefined,
  cgroupParent: undefined,
  limits: {},
  allow: [],
  parallelStepsMax: 2,
}

const TWO_STAGES = `
FROM scratch AS made
COPY a /a
RUN ["make", "one"]
FROM scratch
COPY b /b
COPY --from=made /out /out
RUN ["make", "two"]
CMD ["x"]
`

describe('build', () => {
  it('copies without a worker, and finds everything the second time', async () => {
    await using bench = await Bench.open({
      Dockerfile: 'FROM scratch\nCOPY a /a\nWORKDIR /w\n',
      a: '1',
    })
    const first = await bench.build()
    assert.deepEqual(bench.outcomes['COPY a /a'], 'done')
    const second = await bench.build()
    assert.equal(bench.outcomes['COPY a /a'], 'cached')
    assert.equal(bench.outcomes['WORKDIR /w'], 'cached')
    assert.equal(imageIdOf(second.result), imageIdOf(first.result))
    assert.equal(rootManifest(second.result).digest, rootManifest(first.result).digest)
    assert.equal(bench.workerStarts, 0)
  })

  it('packs layers once for an output that wants a format and one that reads them back', async () => {
    await using bench = await Bench.open({ Dockerfile: 'FROM scratch\nCOPY a /a\n', a: '1' })
    const results: unknown[] = []
    const exporterOf = (format: Exporter['format']): Exporter => ({
      format,
      export: (result) => {
        results.push(...result.images.flatMap(({ layers }) => layers))
        return Promise.resolve({ digest: undefined, names: [] })
      },
    })
    bench.exporters = [exporterOf('any'), exporterOf(FORMAT_DEFAULT)]
    await bench.build()
    assert.equal(results.length, 2)
    assert.deepEqual(results[0], results[1])
    // A layer, a config, a manifest.
    assert.equal((await readdir(join(bench.directory, 'root', 'blobs', 'sha256'))).length, 3)
  })

  it('stops a context that does not arrive when a step fails', async () => {
    await using bench = await Bench.open({
      Dockerfile: 'FROM scratch\nARG URL\nADD $URL /a\nCOPY --from=hung / /\n',
    })
    // The ADD fails once the context was asked for, which gets no answer.
    let refuse: () => void = () => undefined
    const asked = new Promise<void>((resolve) => (refuse = resolve))
    await using server = await serveHttp((request, response) => {
      if (request.url === '/hung') refuse()
      else void asked.then(() => response.writeHead(404).end())
    })
    const base = `http://${server.host}`
    const failing = bench.build({
      buildArgs: new Map([['URL', `${base}/missing`]]),
      namedContexts: new Map([['hung', { kind: 'http', url: `${base}/hung` }]]),
    })
    await assert.rejects(failing, { message: /missing.*404/ })
  })

  it('executes nothing when nothing changed, nor when only a time did', async () => {
    await using bench = await Bench.open({ Dockerfile: TWO_STAGES, a: '1', b: '2' })
    const first = await bench.build()
    assert.deepEqual(bench.worker.commands, ['one', 'two'])
    assert.equal(bench.worker.isDisposed, true)
    await utimes(bench.path('a'), 1, 1)
    const second = await bench.build()
    assert.equal(bench.workerStarts, 0)
    assert.equal(imageIdOf(second.result), imageIdOf(first.result))
    assert.equal(Object.values(bench.outcomes).includes('cached'), true)
  })

  it('rebuilds exactly what a changed byte reaches, and says which source it was', async () => {
    await using bench = await Bench.open({ Dockerfile: TWO_STAGES, a: '1', b: '2' })
    await bench.build()
    await bench.write('b', '3')
    await bench.build()
    assert.deepEqual(bench.worker.commands, ['two'])
    assert.equal(bench.outcomes['COPY a /a'], 'cached')
    const logs = bench.events.flatMap((event) => (event.type === 'step-log' ? [event.text] : []))
    assert.equal(logs[0], 'not cached: source "b": its content changed\n')
  })

  it('does not rebuild the consumers of a stage that was rebuilt with equal output', async () => {
    await using bench = await Bench.open({ Dockerfile: TWO_STAGES, a: '1', b: '2' })
    await bench.build()
    await chmod(bench.path('a'), 0o600)
    await bench.build()
    assert.deepEqual(bench.worker.commands, ['one'])
    assert.equal(bench.outcomes['COPY --from=made /out /out'], 'cached')
  })

  it('does not touch what the target does not need', async () => {
    await using bench = await Bench.open({ Dockerfile: TWO_STAGES, a: '1', b: '2' })
    await bench.build({ target: 'made' })
    assert.deepEqual(bench.worker.commands, ['one'])
    assert.equal('COPY b /b' in bench.outcomes, false)
  })

  it('gives a step over a layer that is still being packed, and a record for the next build', async () => {
    const dockerfile = 'FROM scratch\nRUN ["x", "1"]\nRUN ["x", "2"]\nRUN ["x", "3"]\n'
    await using bench = await Bench.open({ Dockerfile: dockerfile })
    await bench.build()
    const [, second, third] = bench.worker.requests
    assert.equal(second?.layers.length, 1)
    assert.deepEqual(third?.layers[0], second?.layers[0])
    await bench.build()
    assert.equal(bench.workerStarts, 0)
  })

  it('makes what a RUN sees of COPY and WORKDIR of their sources, and unpacks nothing', async () => {
    await using bench = await Bench.open({
      Dockerfile: 'FROM scratch\nCOPY a /x/a\nWORKDIR /w\nRUN ["make", "one"]\nCOPY a /b\n',
      a: '1',
    })
    await bench.build()
    assert.equal(bench.worker.unpackCount, 0)
    const [copied, made] = bench.worker.requests[0]?.layers ?? []
    assert.equal(await readFile(join(copied?.path ?? '', 'fs/x/a'), 'utf8'), '1')
    assert.deepEqual(await readdir(join(made?.path ?? '', 'fs')), ['w'])
  })

  it('runs again with --no-cache, and what it made is then the cache', async () => {
    await using bench = await Bench.open({ Dockerfile: 'FROM scratch\nRUN ["x", "1"]\n' })
    await bench.build()
    const fresh = await bench.build({ noCache: true })
    assert.deepEqual(bench.worker.commands, ['1'])
    const cached = await bench.build()
    assert.equal(bench.workerStarts, 0)
    assert.equal(imageIdOf(cached.result), imageIdOf(fresh.result))
  })

  it('reports the failing step with its exit code and place, and keeps no record of it', async () => {
    await using bench = await Bench.open({
      Dockerfile: 'FROM scratch\nRUN ["x", "1"]\nRUN ["x", "exit 7"]\n',
    })
    const failure = await bench.build().catch((error: unknown) => error)
    assert.ok(failure instanceof StepError)
    assert.equal(failure.location.range?.startLine, 3)
    assert.ok(failure.cause instanceof BuildError)
    assert.equal(failure.cause.code, 'step-failed')
    assert.equal(failure.cause.details.exitCode, 7)
    assert.equal(failure.message, 'process "x exit 7" did not complete successfully: exit code: 7')
    assert.equal(bench.worker.isDisposed, true)
    await assert.rejects(bench.build(), StepError)
    assert.deepEqual(bench.worker.commands, ['exit 7'])
  })

  it('reports the failing step when what would be kept of the context cannot be', async () => {
    await using bench = await Bench.open({
      Dockerfile: 'FROM scratch\nCOPY . /\nRUN ["x", "exit 7"]\n',
      '.dockerignore': 'ignored\n',
    })
    await mkdir(bench.path('ignored'))
    await bench.write('ignored/file', '')
    bench.onRun = () => rm(join(bench.directory, 'root/contexts'), { recursive: true })
    await assert.rejects(bench.build(), StepError)
  })

  it('leaves nothing unfinished behind, whatever happened', async () => {
    await using bench = await Bench.open({ Dockerfile: 'FROM scratch\nRUN ["x", "exit 1"]\n' })
    await assert.rejects(bench.build(), StepError)
    const work = (await readdir(join(bench.directory, 'root/work'))).filter((name) =>
      /^\d/.test(name),
    )
    assert.deepEqual(work, [])
    assert.deepEqual(await readdir(join(bench.directory, 'root/cache')).catch(() => []), [])
  })

  it("ends with the caller's reason when it is interrupted", async () => {
    await using bench = await Bench.open({ Dockerfile: 'FROM scratch\nRUN ["x", "1"]\n' })
    const controller = new AbortController()
    controller.abort(new Error('interrupted'))
    await assert.rejects(bench.build({}, controller.signal), /interrupted/)
  })

  it('refuses a host network that was not allowed', async () => {
    await using bench = await Bench.open({
      Dockerfile: 'FROM scratch\nRUN --network=host ["x", "1"]\n',
    })
    await assert.rejects(bench.build(), /network.host is not allowed/)
    await bench.build({ allow: ['network.host'] })
    assert.equal(bench.worker.requests[0]?.network, 'host')
  })
})
