import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LayerEntry } from '../../layer/entry.ts'
import { temporaryDirectory } from '../../testing/temporary-directory.ts'
import { kernel } from '../kernel.ts'
import { KernelError, type KernelErrorCode } from '../kernel-error.ts'
import type { PackEntry, PackOptions, ReadLayerOptions, ReadLayerResult } from '../kernel-types.ts'

/** A signal that never fires. */
export const never: AbortSignal = new AbortController().signal

/** Metadata for entries whose own does not matter. */
export const plain = { mode: 0o644, uid: 0, gid: 0, mtimeSec: 1_600_000_000 } as const

/** A file entry whose bytes are given. */
export function bytesEntry(path: string, content: string): PackEntry {
  const bytes = Buffer.from(content)
  return { type: 'file', path, ...plain, sizeBytes: bytes.length, source: { kind: 'bytes', bytes } }
}

/** Packs `entries` with the defaults of a test: to `output`, uncompressed. */
export async function pack(
  entries: readonly PackEntry[],
  options: Partial<PackOptions> = {},
): ReturnType<ReturnType<typeof kernel.createPacker>['finish']> {
  await using packer = kernel.createPacker({
    output: undefined,
    compression: 'uncompressed',
    level: undefined,
    signal: never,
    ...options,
  })
  await packer.add(entries)
  return await packer.finish()
}

/** Reads a blob with the defaults of a test: contents only, white-outs understood. */
export async function read(
  blob: string,
  options: Partial<ReadLayerOptions> = {},
): Promise<ReadLayerResult> {
  return await kernel.readLayer({
    blob,
    compression: 'auto',
    extractTo: undefined,
    entries: 'list',
    whiteouts: 'overlay',
    userXattr: false,
    ownership: process.getuid?.() === 0 ? 'owners' : 'none',
    limits: { uncompressedSizeBytesMax: 1e9, entryCountMax: 1e5 },
    signal: never,
    ...options,
  })
}

/** Reads an archive that is in memory. */
export async function readBytes(
  archive: Buffer,
  options: Partial<ReadLayerOptions> = {},
): Promise<ReadLayerResult> {
  await using directory = await temporaryDirectory()
  const blob = join(directory.path, 'blob')
  await writeFile(blob, archive)
  return await read(blob, options)
}

/** Unpacks an archive that is in memory into a directory `root` of `directory`, which is made if it is missing. */
export async function unpackBytes(
  directory: string,
  archive: Buffer,
  options: Partial<ReadLayerOptions> = {},
): Promise<{ readonly root: string; readonly result: ReadLayerResult }> {
  const root = join(directory, 'root')
  await mkdir(root, { recursive: true })
  const result = await readBytes(archive, { extractTo: root, whiteouts: 'plain', ...options })
  return { root, result }
}

/** `type path`, and the target of links. */
export function summary(entries: readonly LayerEntry[]): string[] {
  return entries.map((entry) => {
    const target =
      entry.type === 'symlink' || entry.type === 'hardlink' ? ` -> ${entry.target}` : ''
    return `${entry.type} ${entry.path}${target}`
  })
}

/** Checks that `promise` fails with a KernelError of `code`, about `path` when given. */
export async function rejectsWith(
  promise: Promise<unknown>,
  code: KernelErrorCode,
  path?: string,
): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof KernelError, String(error))
    assert.equal(error.code, code, error.message)
    if (path !== undefined) assert.equal(error.path, path, error.message)
    return true
  })
}
