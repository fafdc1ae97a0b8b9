import { lstat, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { CLI, type CommandOptions, type CommandResult, mustRun, runCommand } from './cli.ts'

/** A file of a context: its text, or its text with a mode. */
export type ContextFile = string | { readonly content: string; readonly mode: number }

/** A place of its own for one test: a state root, contexts, outputs. Everything goes when it is disposed of. */
export class Lab implements AsyncDisposable {
  readonly dir: string
  readonly stateRoot: string

  private constructor(dir: string) {
    this.dir = dir
    this.stateRoot = join(dir, 'state')
  }

  static async open(): Promise<Lab> {
    return new Lab(await mkdtemp(join(tmpdir(), 'tsbuild-e2e-')))
  }

  /** Writes a context directory and returns its path. */
  async context(files: Readonly<Record<string, ContextFile>>, name = 'context'): Promise<string> {
    const dir = join(this.dir, name)
    await mkdir(dir, { recursive: true })
    for (const [path, file] of Object.entries(files)) {
      const content = typeof file === 'string' ? file : file.content
      await mkdir(dirname(join(dir, path)), { recursive: true })
      await writeFile(join(dir, path), content, {
        mode: typeof file === 'string' ? 0o644 : file.mode,
      })
    }
    return dir
  }

  /** Runs the command line with this lab's state root and an environment without the user's configuration. */
  tsbuild(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(process.execPath, [CLI, ...args], { ...options, env: this.env(options.env) })
  }

  /** The same, throwing what it said when it fails. */
  build(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return mustRun(process.execPath, [CLI, 'build', '--progress=plain', ...args], {
      ...options,
      env: this.env(options.env),
    })
  }

  /** An environment with this lab's state root and without the user's configuration. */
  env(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    return {
      PATH: process.env['PATH'] ?? '',
      HOME: this.dir,
      TMPDIR: this.dir,
      LC_ALL: 'C',
      TSBUILD_ROOT: this.stateRoot,
      DOCKER_CONFIG: join(this.dir, 'docker-config'),
      ...more,
    }
  }

  /** The same with `tsbuild` on the PATH, for scripts. */
  async scriptEnv(more: NodeJS.ProcessEnv = {}): Promise<NodeJS.ProcessEnv> {
    const bin = join(this.dir, 'bin')
    await mkdir(bin, { recursive: true })
    await writeFile(join(bin, 'tsbuild'), `#!/bin/sh\nexec ${process.execPath} ${CLI} "$@"\n`, {
      mode: 0o755,
    })
    return this.env({ PATH: `${bin}:${process.env['PATH']}`, ...more })
  }

  /**
   * What is below `work/` besides the store's own lock file, empty folders and the mark of a flush that still goes on
   * behind the build: nothing when builds cleaned up.
   */
  async unfinished(stateRoot: string = this.stateRoot): Promise<string[]> {
    const work = join(stateRoot, 'work')
    if (!(await exists(work))) return []
    const entries = await readdir(work, { withFileTypes: true, recursive: true })
    const folders = new Set(['locks', 'trash'])
    return entries
      .filter(
        (entry) =>
          !(entry.isDirectory() && folders.has(entry.name)) && !/^(gate$|flush-)/.test(entry.name),
      )
      .map((entry) => join(entry.parentPath, entry.name))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (await exists(this.stateRoot)) {
      // Layers may hold files that only the worker can remove (owned by sub-ids).
      const { stdout } = await this.tsbuild(['images', '-q'])
      const images = [...new Set(stdout.split('\n').filter((id) => id !== ''))]
      if (images.length > 0) await this.tsbuild(['rmi', '-f', ...images])
      await this.tsbuild(['prune', '-af'])
    }
    // A flush to disk may put its file away meanwhile.
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  )
}
