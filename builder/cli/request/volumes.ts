import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { UsageError } from '../errors.ts'

/** A directory or file of this machine that `run -v` shows in the image. */
export interface Volume {
  /** Directory that is opened; `source` is looked up below it. */
  readonly directory: string
  /** '' for the directory itself, else a file in it. */
  readonly source: string
  readonly target: string
  readonly isReadonly: boolean
}

/** `-v HOST:PATH[:ro|rw]`. Throws `UsageError` for what is not there, and for named volumes, which do not exist here. */
export async function readVolumes(values: readonly string[], cwd: string): Promise<Volume[]> {
  return await Promise.all(values.map((text) => readVolume(text, cwd)))
}

async function readVolume(text: string, cwd: string): Promise<Volume> {
  const [host = '', target = '', mode = 'rw', ...rest] = text.split(':')
  const refuse = (reason: string): UsageError =>
    new UsageError(`invalid argument "${text}" for "--volume" flag: ${reason}`)
  if (target === '' || rest.length > 0) {
    throw refuse('it must be HOST:PATH[:ro]')
  }
  if (!target.startsWith('/')) {
    throw refuse(`the path in the image must be absolute, not ${target}`)
  }
  if (mode !== 'ro' && mode !== 'rw') {
    throw refuse(`unknown mode "${mode}" (known: ro, rw)`)
  }
  if (!/[/.~]/.test(host)) {
    throw refuse('named volumes are not supported: give a path, such as ./data')
  }
  const path = await realpath(resolve(cwd, host)).catch((error: unknown) => {
    throw refuse(error instanceof Error ? error.message : String(error))
  })
  const isReadonly = mode === 'ro'
  return (await stat(path)).isDirectory()
    ? { directory: path, source: '', target, isReadonly }
    : { directory: dirname(path), source: basename(path), target, isReadonly }
}
