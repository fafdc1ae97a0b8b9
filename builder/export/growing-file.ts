import { type FileHandle, open, stat } from 'node:fs/promises'
import { setTimeout as sleepFor } from 'node:timers/promises'
import type { GrowingBlob } from '../solver/growing-blob.ts'

/**
 * How often a growing file is looked at: a packer writes some megabytes meanwhile, which is worth a packet and short beside
 * everything that comes after the last byte. One look costs microseconds.
 */
const LOOK_INTERVAL_MS = 20
/** As other reads of blobs: fewer turns of the event loop per megabyte. */
const READ_BYTES = 1 << 20

/** Resolves after the time, rejects when the signal aborts; tests decide how long that takes. */
export type Pause = (durationMs: number, signal: AbortSignal) => Promise<void>

export const systemPause: Pause = (durationMs, signal) =>
  sleepFor(durationMs, undefined, { signal })

/** Whether the blob gets larger than `sizeBytes` while it is packed. Throws the signal's reason. */
export async function growsBeyond(
  { file, over }: GrowingBlob,
  sizeBytes: number,
  pause: Pause,
  signal: AbortSignal,
): Promise<boolean> {
  const either = AbortSignal.any([signal, over])
  for (;;) {
    signal.throwIfAborted()
    if (over.aborted) return false
    const there = await stat(file).catch(() => undefined)
    if (there !== undefined && there.size > sizeBytes) return true
    await lookLater(pause, either)
  }
}

/** The bytes of a blob as they are written, until it is whole. Throws when its packing fails. */
export async function* followBlob(
  blob: GrowingBlob,
  pause: Pause,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const either = AbortSignal.any([signal, blob.over])
  // The store gives the file another name when it is whole; what is open stays open.
  await using file = await open(blob.file)
  let position = 0
  for (;;) {
    signal.throwIfAborted()
    const isOver = blob.over.aborted
    const chunk = await readAt(file, position)
    position += chunk.byteLength
    if (chunk.byteLength > 0) yield chunk
    else if (isOver) break
    else await lookLater(pause, either)
  }
  if (blob.whole?.sizeBytes !== position) throw new Error(`${blob.file} did not become whole`)
}

async function readAt(file: FileHandle, position: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  const { bytesRead } = await file.read(buffer, 0, READ_BYTES, position)
  return buffer.subarray(0, bytesRead)
}

/** Ends early when `signal` aborts. */
async function lookLater(pause: Pause, signal: AbortSignal): Promise<void> {
  await pause(LOOK_INTERVAL_MS, signal).catch(() => undefined)
}
