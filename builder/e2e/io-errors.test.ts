import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, stat } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { extname, join, relative } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { serveFiles } from '../ops/testing/git-server.ts'
import { type HttpServer, serveHttp } from '../ops/testing/http-server.ts'
import { CLI, type CommandResult, mustRun, PROJECT, runCommand } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

/** Options of strace(1) that make system calls on one file fail as those of a broken disk do. */
function inject(calls: string, path: string): string[] {
  return ['-f', '-o', '/dev/null', '-P', path, '-e', `inject=${calls}:error=EIO`]
}

const READS = 'read,pread64,readv,preadv'
const WRITES = 'write,pwrite64,writev,pwritev,copy_file_range'
/** Every kind of file of the state is written, and nearly all are read by the build after it. */
const FILES = {
  Dockerfile: `ARG BASE
FROM scratch AS held
ARG URL
ADD $URL /held
FROM $BASE
COPY --from=held /held /held
COPY . /x
COPY --from=old . /old
RUN cat /x/a /held > /out
`,
  a: 'first ',
  'b/c': 'other',
  '.dockerignore': 'ignored\n',
  'ignored/d': '',
}
/** What was changed just now is in no cache of digests. */
const OLD_CONTEXT = join(PROJECT, 'docs/decisions')

/** A server that the build asks in its beginning: for the file of its first step, or for the repository that is its context. */
interface HoldingServer extends HttpServer {
  /** Waits for the build, and lets it go on after `meanwhile`. */
  hold(meanwhile: () => Promise<void>): Promise<void>
}

async function holdingServer(repositories: HttpServer): Promise<HoldingServer> {
  let [ask, release] = [(): void => {}, (): void => {}]
  const asked = new Promise<void>((resolve) => (ask = resolve))
  const released = new Promise<void>((resolve) => (release = resolve))
  const answer = (path: string, response: ServerResponse): void => {
    if (path === '/held') response.end('held')
    else response.writeHead(302, { location: `http://${repositories.host}${path}` }).end()
  }
  const server = await serveHttp((request, response) => {
    ask()
    void released.then(() => answer(request.url ?? '', response))
  })
  const hold = async (meanwhile: () => Promise<void>): Promise<void> => {
    await asked
    await meanwhile()
    release()
  }
  return { ...server, hold }
}

/** Where a build is made whose context is a directory, or a repository. */
class Place implements AsyncDisposable {
  readonly lab: Lab
  readonly server: HoldingServer
  readonly #context: string
  readonly #repositories: AsyncDisposable

  private constructor(
    parts: Pick<Place, 'lab' | 'server'> & {
      readonly context: string
      readonly repositories: AsyncDisposable
    },
  ) {
    this.lab = parts.lab
    this.server = parts.server
    this.#context = parts.context
    this.#repositories = parts.repositories
  }

  static async open(kind: 'directory' | 'repository'): Promise<Place> {
    const lab = await Lab.open()
    const directory = await lab.context(FILES)
    const repositories = await serveFiles(lab.dir)
    const server = await holdingServer(repositories)
    if (kind === 'repository') await publish(directory, join(lab.dir, 'r.git'))
    const context = kind === 'repository' ? `http://${server.host}/r.git#main` : directory
    return new Place({ lab, server, context, repositories })
  }

  async command(): Promise<string[]> {
    const base = `${(await labRegistry()).host}/library/busybox`
    const held = `http://${this.server.host}/held`
    const args = ['--build-arg', `URL=${held}`, '--build-arg', `BASE=${base}`]
    const contexts = ['--build-context', `old=${OLD_CONTEXT}`, this.#context]
    return ['build', '--progress=plain', ...args, '-t', 'made', ...contexts]
  }

  /** Builds; as soon as it asks the server strace(1) with `traced` options watches it, `LEASE` in them is the build's directory. */
  async tracedBuild(traced: readonly string[]): Promise<CommandResult> {
    const work = join(this.lab.stateRoot, 'work')
    const building = this.lab.tsbuild(await this.command())
    let ended: Promise<unknown> = Promise.resolve()
    await this.server.hold(async () => {
      const name = (await readdir(work)).find((each) => /^\d+-/.test(each))
      assert.ok(name !== undefined, 'the build has no lease')
      const args = traced.map((arg) => arg.replace('LEASE', join(work, name)))
      const tracer = spawn('strace', [...args, '-p', name.replace(/-.*/, '')])
      ended = once(tracer, 'close')
      // `strace: Process 1 attached`
      await once(tracer.stderr, 'data')
    })
    const result = await building
    await ended
    return result
  }

  /** The build works now, and the image is the right one. */
  async mustBuild(): Promise<void> {
    const env = this.lab.env()
    await mustRun(process.execPath, [CLI, ...(await this.command())], { env })
    const { stdout } = await mustRun(process.execPath, [CLI, 'run', 'made', 'cat', '/out'], { env })
    assert.equal(stdout, 'first held')
    assert.deepEqual(await this.lab.unfinished(), [])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]()
    await this.#repositories[Symbol.asyncDispose]()
    await this.lab[Symbol.asyncDispose]()
  }
}

/** Makes a repository of a directory, and a bare one that a web server can hand out. */
async function publish(directory: string, bare: string): Promise<void> {
  const git = (...args: string[]): Promise<CommandResult> =>
    mustRun('git', ['-C', directory, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args])
  await git('init', '-q', '-b', 'main')
  await git('add', '.')
  await git('commit', '-q', '-m', 'one')
  await git('clone', '-q', '--bare', directory, bare)
  await git('-C', bare, 'update-server-info')
}

/**
 * By kind the name of the first file that the lease of a build has while it is traced, and that becomes one of the state. What
 * came before (the base image was looked up) is the same each time, so it is the first one of the next build too.
 */
async function leaseFiles(kind: 'directory' | 'repository'): Promise<Map<string, string>> {
  await using place = await Place.open(kind)
  const log = join(place.lab.dir, 'renames')
  const result = await place.tracedBuild(['-f', '-o', log, '-e', 'trace=rename,link'])
  assert.equal(result.status, 0, result.text)
  const moves = /\/work\/[^/"]+\/([a-z-]+)(\d+)", "[^"]+"\) += 0/g
  const first = new Map<string, number>()
  for (const [, name = '', digits] of (await readFile(log, 'utf8')).matchAll(moves)) {
    first.set(name, Math.min(first.get(name) ?? Infinity, Number(digits)))
  }
  return new Map([...first].map(([name, number]) => [name, `${name}${number}`]))
}

/** The smallest and the largest file of each kind in a state root. */
async function filesOf(stateRoot: string): Promise<Map<string, string[]>> {
  const found = await readdir(stateRoot, { recursive: true, withFileTypes: true })
  const kinds = new Map<string, { readonly path: string; readonly sizeBytes: number }[]>()
  for (const entry of found.filter((each) => each.isFile())) {
    const path = join(entry.parentPath, entry.name)
    const folder = relative(stateRoot, entry.parentPath)
    if (/(?:^|\/)(?:fs|work)(?:\/|$)/.test(folder)) continue
    // Layers have directories of their own.
    const kind = `${folder.replaceAll(/[^/]*[0-9a-f]{12}[^/]*/g, '*')} ${extname(entry.name)}`
    const { size } = await stat(path)
    kinds.set(kind, [...(kinds.get(kind) ?? []), { path, sizeBytes: size }])
  }
  return new Map(
    [...kinds].map(([kind, files]) => {
      const paths = files.sort((a, b) => a.sizeBytes - b.sizeBytes).map(({ path }) => path)
      return [kind, [...new Set([...paths.slice(0, 1), ...paths.slice(-1)])]]
    }),
  )
}

describe('a disk with input/output errors', function () {
  this.timeout(600_000)
  requires('root')

  const written: Readonly<Record<'directory' | 'repository', readonly string[]>> = {
    directory: [
      ...['blob', 'layer', 'contents', 'records', 'steps', 'images'],
      ...['stat-cache', 'context-state', 'downloading', 'download-record'],
    ],
    repository: ['text'],
  }
  for (const kind of ['directory', 'repository'] as const) {
    it(`where a file of the state is written: it is named, and the next build works (${kind})`, async () => {
      const files = await leaseFiles(kind)
      for (const one of written[kind])
        assert.ok(files.has(one), `${one}: ${[...files.keys()].join()}`)
      for (const [one, name] of files) {
        // The other kinds are the same for both.
        if (kind === 'repository' && !written[kind].includes(one)) continue
        await using place = await Place.open(kind)
        const result = await place.tracedBuild(inject(WRITES, `LEASE/${name}`))
        assert.equal(result.status, 1, `${one}: ${result.text}`)
        const named = new RegExp(
          `^ERROR: .*/work/\\d+-[^/]+/${name}\\b.*(?:EIO|Input/output error)`,
          'm',
        )
        assert.match(result.stderr, named)
        assert.match(result.stderr, /^HINT: the disk failed/m)
        assert.deepEqual(await place.lab.unfinished(), [])
        await place.mustBuild()
      }
    })
  }

  it('where a file of the context is read: COPY names it', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY . /\n', 'b/c': 'other' })
    const file = join(context, 'b/c')
    const command = [process.execPath, CLI, 'build', '--progress=plain', context]
    const env = lab.env()
    const result = await runCommand('strace', [...inject(READS, file), ...command], { env })
    assert.equal(result.status, 1, result.text)
    assert.match(result.stderr, /^ERROR: .*b\/c.*(?:EIO|Input\/output error)/m)
    assert.match(result.stderr, /Dockerfile:2/)
    assert.deepEqual(await lab.unfinished(), [])
    await mustRun(process.execPath, [CLI, 'build', context], { env })
  })

  const read = {
    directory: [
      ...['blobs/sha256 ', 'cache/steps ', 'images ', 'layers/contents ', 'layers/records '],
      ...['contexts .stat', 'contexts .closed', 'contexts/downloads ', 'contexts/downloads .json'],
    ],
    repository: ['contexts .text'],
  } as const
  for (const kind of ['directory', 'repository'] as const) {
    it(`where a file of the state is read: it is named, or made again (${kind})`, async () => {
      await using place = await Place.open(kind)
      const { lab } = place
      const released = place.server.hold(async () => {})
      await place.mustBuild()
      await released
      const files = await filesOf(lab.stateRoot)
      for (const one of read[kind]) assert.ok(files.has(one), `${one}: ${[...files.keys()].join()}`)
      const failed: string[] = []
      for (const one of kind === 'directory' ? files.keys() : read[kind]) {
        for (const file of files.get(one) ?? []) {
          const output = `type=oci,dest=${join(lab.dir, 'out')}`
          const traced = [...inject(READS, file), process.execPath, CLI, ...(await place.command())]
          const result = await runCommand('strace', [...traced, '--output', output], {
            env: lab.env(),
          })
          if (result.status !== 0) {
            failed.push(one)
            assert.equal(result.status, 1)
            assert.ok(result.stderr.includes(file), `${file}: ${result.stderr}`)
            assert.match(result.stderr, /EIO|Input\/output error/)
          }
          assert.deepEqual(await lab.unfinished(), [])
          await place.mustBuild()
        }
      }
      assert.deepEqual(
        failed.filter((one) => one.startsWith('contexts ')),
        [],
      )
      assert.equal(failed.includes('blobs/sha256 '), kind === 'directory')
    })
  }
})
