import { lstat, mkdir, stat, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import {
  errnoOf,
  type HeldLock,
  type Kernel,
  KernelError,
  type NamedLocks,
} from '../../snapshotter/index.ts'
import type { BuildResult, ImageLayer } from '../image/built-image.ts'
import type { OutputRequest } from '../request.ts'
import type { Step } from '../solver/steps.ts'
import { checkDirectoryDestination, type Surroundings } from './destination.ts'
import { ExportError } from './errors.ts'
import type { Exporter, ExportOutcome, ExportServices } from './exporter.ts'
import { flatEntries } from './flat-entries.ts'
import { FlatImage, type FlatKernel } from './flat-image.ts'
import { prefetchBlob } from './layout-files.ts'
import { checkMirrorDestination, keepPaths, removeOthers } from './mirror.ts'
import { claimsFor, placedImages } from './placed-images.ts'
import { openWorkDirectory, type WorkDirectoryKernel } from './work-directory.ts'

type LocalOutput = Extract<OutputRequest, { type: 'local' | 'tar' }>

export interface LocalParts extends Pick<Surroundings, 'cwd' | 'stdout'> {
  readonly kernel: FlatKernel & Pick<Kernel, 'createMaker'> & WorkDirectoryKernel
  readonly locks: Pick<NamedLocks, 'acquire' | 'tryAcquire'>
}

/**
 * `type=local` (features row C68): the files of the result in a directory; several platforms go to `linux_amd64/` and so
 * on, all owned by the caller. Files that are there and not in the result stay, unless `isMirror` says otherwise. Whatever stands at a path and is no
 * directory is replaced, never followed or written through. Exports of one state root into one directory take turns: it
 * holds what the last one says, not the files of two. Errors: `destination-unusable`, `export-unsupported`.
 */
export class LocalExporter implements Exporter {
  readonly format = 'any'
  readonly #output: LocalOutput
  readonly #parts: LocalParts

  private constructor(output: LocalOutput, parts: LocalParts) {
    this.#output = output
    this.#parts = parts
  }

  /** Refuses a bad destination at once, not after the build. */
  static async open(output: LocalOutput, parts: LocalParts): Promise<LocalExporter> {
    await checkDirectoryDestination(output.dest, 'local', parts)
    if (output.isMirror === true) {
      checkMirrorDestination(output.dest, parts.cwd)
    }
    return new LocalExporter(output, parts)
  }

  layerReady(layer: ImageLayer, services: ExportServices, signal: AbortSignal): void {
    prefetchBlob(layer, services, signal)
  }

  async export(
    result: BuildResult,
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<ExportOutcome> {
    const dest = resolve(this.#parts.cwd, this.#output.dest)
    await services.steps.during('exporting to client directory', signal, async (step) => {
      try {
        await this.#write(dest, result, { services, step }, signal)
      } catch (error) {
        throw describe(dest, error)
      }
    })
    return { digest: undefined, names: [] }
  }

  async #write(
    dest: string,
    result: BuildResult,
    { services, step }: { readonly services: ExportServices; readonly step: Step },
    signal: AbortSignal,
  ): Promise<void> {
    const { kernel } = this.#parts
    const { epochSec } = result
    await mkdir(dest, { recursive: true, mode: 0o700 })
    await using _turn = await takeTurn(dest, this.#parts.locks, step, signal)
    await using maker = kernel.createMaker({
      ...{ root: dest, whiteouts: 'plain', userXattr: false },
      ...{ ownership: 'none', files: 'moved', signal },
    })
    const kept = this.#output.isMirror === true ? new Set<string>() : undefined
    const images = placedImages(result, this.#output.platformSplit)
    const claims = claimsFor(images)
    for (const placed of images) {
      const { directory } = placed
      // Below the destination: files get their place by rename.
      await using work = await openWorkDirectory(dest, kernel)
      const parts = { kernel, services, workDirectory: work.path }
      await using flat = await FlatImage.open(placed.image, parts, signal)
      await claims?.add(flat, placed)
      if (directory !== '') await makeRealDirectory(join(dest, directory))
      if (kept !== undefined && directory !== '') keepPaths(kept, [{ path: directory }])
      for await (const page of flatEntries(flat, { directory, epochSec })) {
        await inDestination(dest, maker.add(page))
        if (kept !== undefined) keepPaths(kept, page)
      }
    }
    if (kept !== undefined) await removeOthers(dest, kept, kernel, signal)
    // Last of all: a mode may forbid to write into a directory, and writing changes its time.
    for (const { path } of await inDestination(dest, maker.finish())) {
      services.steps.warning(`could not write ${path}: a device needs root`, { step })
    }
  }
}

/** The lock of the directory, by whatever path it is named. It is not in it: a result may have any file there. */
async function takeTurn(
  dest: string,
  locks: LocalParts['locks'],
  step: Step,
  signal: AbortSignal,
): Promise<HeldLock> {
  const { dev, ino } = await stat(dest, { bigint: true })
  const name = `export-${dev}-${ino}`
  const lock = await locks.tryAcquire(name)
  if (lock !== undefined) return lock
  step.log('stdout', `waiting for another export into ${dest}\n`)
  return locks.acquire(name, signal)
}

/** A symlink of that name is replaced, as everything below is. */
async function makeRealDirectory(path: string): Promise<void> {
  const existing = await lstat(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  })
  if (existing?.isDirectory() === true) return
  if (existing !== undefined) await unlink(path)
  await mkdir(path, { mode: 0o755 })
}

/** What the maker met in the destination, said as an error of this output. */
async function inDestination<T>(dest: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof KernelError) || error.syscall === undefined) throw error
    const { cause, code, path = '', syscall } = error
    const reason = cause instanceof Error ? cause.message : error.message
    throw unwritable(`${join(dest, path)}: ${reason} (${syscall}: ${code})`, error)
  }
}

/** Node's own error of a call below `dest` does not say what it ends. */
function describe(dest: string, error: unknown): unknown {
  const isOfDest =
    error instanceof Error &&
    'syscall' in error &&
    'path' in error &&
    String(error.path).startsWith(dest)
  return isOfDest ? unwritable(error.message, error) : error
}

function unwritable(reason: string, cause: unknown): ExportError {
  const message = `could not write output type=local: ${reason}`
  return new ExportError('destination-unusable', message, { cause })
}
