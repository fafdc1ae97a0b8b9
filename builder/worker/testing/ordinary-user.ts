import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { text } from 'node:stream/consumers'
import { initProgram } from '../../sandbox/init-program.ts'
import { installPackage } from './sandbox-lab.ts'

export interface ProgramResult {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Of this run alone: another one may be under way on this machine. */
const USER = `tsbuild-test-${process.pid}`
/** What a worker is made of; no package is. */
const COMPILED = ['builder/sandbox', 'builder/worker', 'snapshotter', 'registry-client/oci']

/**
 * An ordinary user of this machine with ranges of sub-ids, and a copy of the compiled worker that it can read (root's home
 * is closed to it). As root the user is made, and removed in the end; else it is who runs the tests.
 */
export class OrdinaryUser implements AsyncDisposable {
  /** Belongs to the user. */
  readonly directory: string
  readonly #ids: { readonly uid: number; readonly gid: number } | undefined
  readonly #isOurs: boolean

  private constructor(directory: string, ids: OrdinaryUser['ids'], isOurs: boolean) {
    this.directory = directory
    this.#ids = ids
    this.#isOurs = isOurs
  }

  get ids(): { readonly uid: number; readonly gid: number } | undefined {
    return this.#ids
  }

  static async open(): Promise<OrdinaryUser> {
    const directory = await mkdtemp(join(tmpdir(), 'tsbuild-user-'))
    await chmod(directory, 0o755)
    await copyCompiled(directory)
    if (process.getuid?.() !== 0) return new OrdinaryUser(directory, undefined, false)
    if (!existsSync('/usr/bin/newuidmap')) installPackage('uidmap')
    const isOurs = spawnSync('id', [USER]).status !== 0
    if (isOurs) mustRun('useradd', ['-m', USER])
    const ids = {
      uid: Number(mustRun('id', ['-u', USER])),
      gid: Number(mustRun('id', ['-g', USER])),
    }
    mustRun('chown', [`${ids.uid}:${ids.gid}`, directory])
    return new OrdinaryUser(directory, ids, isOurs)
  }

  /** Runs a compiled module, given relative to dist/, as the user. */
  async run(module: string, args: readonly string[]): Promise<ProgramResult> {
    const child = spawn(process.execPath, [join(this.directory, 'dist', module), ...args], {
      ...(this.#ids ?? {}),
      cwd: this.directory,
      env: { PATH: process.env['PATH'], HOME: this.directory },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    const [stdout, stderr, status] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      ended,
    ])
    return { status, stdout, stderr }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
    if (this.#isOurs) mustRun('userdel', ['-r', USER])
  }
}

async function copyCompiled(directory: string): Promise<void> {
  const program = initProgram()
  const native = dirname(program)
  const dist = join(import.meta.dirname, '../../..')
  for (const folder of COMPILED)
    await cp(join(dist, folder), join(directory, 'dist', folder), { recursive: true })
  // The modules, not the bundle: the test runs what was compiled last.
  await cp(join(dist, 'builder/program.js'), join(directory, 'dist/builder/program.js'))
  const release = join(directory, relative(packageOf(native), native))
  await mkdir(release, { recursive: true })
  await cp(program, join(release, 'sandbox-init'))
  await cp(join(native, 'tsbuild.node'), join(release, 'tsbuild.node'))
  await writeFile(join(directory, 'package.json'), '{"type":"module"}\n')
}

/** `…/snapshotter/native/build/Release` lies in the package. */
function packageOf(native: string): string {
  return join(native, '../../../..')
}

function mustRun(program: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  // userdel says 12 when the mail spool was not there to be removed.
  if (status !== 0 && status !== 12)
    throw new Error(`${program} ${args.join(' ')} failed: ${stderr}`)
  return stdout.trim()
}
