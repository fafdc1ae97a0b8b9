import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LayerDirectory } from '../../../snapshotter/index.ts'
import { type HostFacts, readHostFacts } from '../../sandbox/host-facts.ts'
import { startWorker } from '../start-worker.ts'
import type { RunRequest, RunResult, Worker } from '../protocol.ts'

/** What a run printed and how it ended. */
export type LabRun = RunResult & { readonly stdout: string; readonly stderr: string }

/** A worker over a state root of its own, with a busybox image as base; everything is gone when it is disposed. */
export class SandboxLab implements AsyncDisposable {
  readonly directory: string
  readonly base: LayerDirectory
  readonly worker: Worker
  #count = 0

  private constructor(directory: string, base: LayerDirectory, worker: Worker) {
    this.directory = directory
    this.base = base
    this.worker = worker
  }

  /** `facts`: of another machine than this one, for another rung of the ladder. */
  static async open(facts: HostFacts = readHostFacts()): Promise<SandboxLab> {
    const directory = await mkdtemp(join(tmpdir(), 'tsbuild-sandbox-'))
    const base = { path: join(directory, 'base') }
    await makeBusyboxLayer(base)
    const worker = await startWorker(
      { store: await labStore(directory), facts, hasLimits: true },
      new AbortController().signal,
    )
    return new SandboxLab(directory, base, worker)
  }

  /** A path below the state root that nothing has yet. */
  path(): string {
    this.#count += 1
    return join(this.directory, `lab-${this.#count}`)
  }

  /** Runs a shell script over the base, or what `changes` says instead. */
  async run(
    script: string,
    changes: Partial<RunRequest> = {},
    signal: AbortSignal = new AbortController().signal,
  ): Promise<LabRun> {
    const request = { ...labRequest(script, [this.base]), ...changes }
    const printed = { stdout: '', stderr: '' }
    const result = await this.worker.run(
      request,
      (stream, bytes) => {
        printed[stream] += Buffer.from(bytes).toString()
      },
      signal,
    )
    return { ...result, ...printed }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker.removeTrees([this.base.path], new AbortController().signal)
    await this.worker[Symbol.asyncDispose]()
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** The directories that a worker is told of. */
export async function labStore(
  directory: string,
): Promise<Parameters<typeof startWorker>[0]['store']> {
  const lease = join(directory, 'lease')
  await mkdir(lease, { recursive: true })
  return { root: { path: directory }, lease: { directory: lease } }
}

/** What a plain RUN asks for. */
export function labRequest(script: string, layers: readonly LayerDirectory[]): RunRequest {
  return {
    layers,
    args: ['/bin/sh', '-c', script],
    env: [],
    cwd: '/',
    user: '',
    hostname: 'buildkitsandbox',
    network: 'none',
    security: 'sandbox',
    mounts: [],
    extraHosts: [],
    ulimits: [],
    shmSizeBytes: 64 * 1024 * 1024,
    cgroupParent: undefined,
    limits: {},
    stdio: 'captured',
    commitTo: undefined,
  }
}

const PASSWD = [
  'root:x:0:0:root:/root:/bin/sh',
  'app:x:1000:1001::/home/app:/bin/sh',
  'nohome:x:1002:1002:::',
]
const GROUP = ['root:x:0:', 'wheel:x:10:root,app', 'audio:x:29:app', 'app:x:1001:']

/** A small root filesystem with accounts of its own. */
export async function makeBusyboxLayer(layer: LayerDirectory): Promise<void> {
  const root = join(layer.path, 'fs')
  for (const name of ['bin', 'etc', 'tmp', 'mnt'])
    await mkdir(join(root, name), { recursive: true })
  const program = busyboxProgram()
  await copyFile(program, join(root, 'bin/busybox'))
  const list = spawnSync(program, ['--list'], { encoding: 'utf8' })
  const applets = list.stdout.split('\n').filter((name) => name !== '' && name !== 'busybox')
  await Promise.all(applets.map((name) => symlink('busybox', join(root, 'bin', name))))
  await writeFile(join(root, 'etc/passwd'), `${PASSWD.join('\n')}\n`)
  await writeFile(join(root, 'etc/group'), `${GROUP.join('\n')}\n`)
}

/** A statically linked busybox of this machine; tests that run as root install it. */
function busyboxProgram(): string {
  const find = (): string | undefined =>
    ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path))
  if (find() === undefined && process.getuid?.() === 0) installPackage('busybox-static')
  const program = find()
  if (program === undefined)
    throw new Error('these tests need busybox: install the package busybox-static')
  return program
}

/** Debian's way; fails with what apt said. */
export function installPackage(name: string): void {
  const { status, stderr } = spawnSync(
    'apt-get',
    ['install', '-y', '-qq', '--no-install-recommends', name],
    { encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`could not install ${name}: ${stderr}`)
}
