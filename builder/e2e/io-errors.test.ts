import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { dirname, join, relative } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { CLI, type CommandResult, mustRun, runCommand } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

/** Options of strace(1) that make system calls on one file fail as those of a broken disk do. */
function inject(calls: string, path: string): string[] {
  return ['-f', '-o', '/dev/null', '-P', path, '-e', `inject=${calls}:error=EIO`]
}

const READS = 'read,pread64,readv,preadv'
const WRITES = 'write,pwrite64,writev,pwritev,copy_file_range'
/** Every file of a pull, a COPY and a RUN is written, and nearly all are read by the build after it. */
const DOCKERFILE = `ARG BASE
FROM scratch AS held
ARG URL
ADD $URL /held
FROM $BASE
COPY --from=held /held /held
COPY . /x
RUN cat /x/a /held > /out
`

async function openLab(): Promise<{ readonly lab: Lab; readonly context: string }> {
  const lab = await Lab.open()
  const context = await lab.context({ Dockerfile: DOCKERFILE, a: 'first ', 'b/c': 'other' })
  return { lab, context }
}

async function options(url: string, context: string): Promise<string[]> {
  const base = `${(await labRegistry()).host}/library/busybox`
  const args = ['--build-arg', `URL=${url}`, '--build-arg', `BASE=${base}`]
  return ['build', '--progress=plain', ...args, '-t', 'made', context]
}

/** A server that the build asks for a file in its first step. */
class HoldingServer implements AsyncDisposable {
  readonly #server = createServer()
  readonly #asked = once(this.#server, 'request') as Promise<[IncomingMessage, ServerResponse]>

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = this.#server.address()
    assert.ok(address !== null && typeof address === 'object')
    return `http://127.0.0.1:${address.port}/held`
  }

  /** Waits for the build, and lets it go on after `meanwhile`. */
  async hold(meanwhile: () => Promise<void>): Promise<void> {
    const [, response] = await this.#asked
    await meanwhile()
    this.#server.on('request', (_request, later) => later.end('held'))
    response.end('held')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** Builds; from the first step on strace(1) with `traced` options watches it, `LEASE` in them is the build's directory. */
async function tracedBuild(
  place: { readonly lab: Lab; readonly context: string },
  server: HoldingServer,
  url: string,
  traced: readonly string[],
): Promise<CommandResult> {
  const work = join(place.lab.stateRoot, 'work')
  const building = place.lab.tsbuild(await options(url, place.context))
  let ended: Promise<unknown> = Promise.resolve()
  await server.hold(async () => {
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

/** For each kind of file in the state root the numbers of the lease's files that became one, of a build that worked. */
async function numbersByKind(): Promise<Map<string, number[]>> {
  const place = await openLab()
  await using lab = place.lab
  await using server = new HoldingServer()
  const log = join(lab.dir, 'renames')
  const traced = ['-f', '-o', log, '-e', 'trace=rename,link']
  const result = await tracedBuild(place, server, await server.listen(), traced)
  assert.equal(result.status, 0, result.text)
  const kinds = new Map<string, number[]>()
  for (const [, number, target = ''] of (await readFile(log, 'utf8')).matchAll(
    /\/t(\d+)", "([^"]+)"\) += 0/g,
  )) {
    const kind = dirname(relative(lab.stateRoot, target))
    kinds.set(kind, [...(kinds.get(kind) ?? []), Number(number)])
  }
  return kinds
}

/** The build works now, and the image is the right one. */
async function mustBuild({ lab, context }: { lab: Lab; context: string }, url: string) {
  const env = lab.env()
  await mustRun(process.execPath, [CLI, ...(await options(url, context))], { env })
  const { stdout } = await mustRun(process.execPath, [CLI, 'run', 'made', 'cat', '/out'], { env })
  assert.equal(stdout, 'first held')
  assert.deepEqual(await lab.unfinished(), [])
}

describe('a disk with input/output errors', function () {
  this.timeout(300_000)
  requires('root')

  it('where a file of the state is written: it is named, nothing is left, and the next build works', async () => {
    const kinds = await numbersByKind()
    for (const kind of ['blobs/sha256', 'layers/contents', 'layers/records']) {
      assert.ok(kinds.has(kind), `${kind} is not among ${[...kinds.keys()].join(', ')}`)
    }
    for (const [kind, numbers] of kinds) {
      const place = await openLab()
      await using lab = place.lab
      await using server = new HoldingServer()
      const url = await server.listen()
      const file = `LEASE/t${numbers.at(-1)}`
      const result = await tracedBuild(place, server, url, inject(WRITES, file))
      assert.equal(result.status, 1, `${kind}: ${result.text}`)
      assert.match(result.stderr, /^ERROR: .*\/work\/\d+-[^/]+\/t\d+.*(?:EIO|Input\/output error)/m)
      assert.match(result.stderr, /^HINT: the disk failed/m)
      assert.deepEqual(await lab.unfinished(), [])
      await mustBuild(place, url)
    }
  })

  it('where a file of the context is read: COPY names it', async () => {
    const { lab: opened, context } = await openLab()
    await using lab = opened
    await lab.context({ Dockerfile: 'FROM scratch\nCOPY . /\n' })
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

  it('where a file of the state is read: the build fails and names it, or makes it again', async () => {
    const place = await openLab()
    await using lab = place.lab
    await using server = new HoldingServer()
    const url = await server.listen()
    const released = server.hold(async () => {})
    await mustBuild(place, url)
    await released
    const files = await readdir(lab.stateRoot, { recursive: true, withFileTypes: true })
    const byFolder = new Map(
      files.filter((f) => f.isFile()).map((f) => [f.parentPath, join(f.parentPath, f.name)]),
    )
    let failedCount = 0
    for (const [folder, file] of byFolder) {
      if (/(?:^|\/)(?:fs|work)(?:\/|$)/.test(relative(lab.stateRoot, folder))) continue
      const command = [process.execPath, CLI, ...(await options(url, place.context))]
      const output = `type=oci,dest=${join(lab.dir, 'out')}`
      const traced = [...inject(READS, file), ...command, '--output', output]
      const result = await runCommand('strace', traced, { env: lab.env() })
      if (result.status !== 0) {
        failedCount += 1
        assert.equal(result.status, 1)
        assert.ok(result.stderr.includes(file), result.stderr)
        assert.match(result.stderr, /EIO|Input\/output error/)
      }
      assert.deepEqual(await lab.unfinished(), [])
      await mustBuild(place, url)
    }
    // The blobs at least.
    assert.ok(failedCount > 0)
  })
})
