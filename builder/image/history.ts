import type { HistoryEntry } from '../../registry-client/oci/index.ts'

/** What the image's history has to say about a layer. */
export interface LayerTime {
  /** RFC 3339; undefined: not known (base layers without history). */
  readonly created: string | undefined
}

/** A history entry as planned by the Dockerfile; `hasLayer` is false for metadata. */
export interface NewHistoryEntry {
  readonly createdBy: string
  readonly comment: string | undefined
  readonly author: string | undefined
  /** Time its layer was made; undefined for metadata. */
  readonly layer: LayerTime | undefined
}

/**
 * The base's entries as they are, made to fit its layers (features row O6: an image may have lost entries, or claim
 * layers that it does not have), so that the count of entries with a layer always equals the count of layers.
 */
export function fitBaseHistory(
  entries: readonly HistoryEntry[],
  layerCount: number,
): HistoryEntry[] {
  let layersLeft = layerCount
  const fitted = entries.map((entry) => {
    if (entry.empty_layer === true) {
      return { ...entry }
    }
    if (layersLeft === 0) {
      return { ...entry, empty_layer: true }
    }
    layersLeft -= 1
    return { ...entry }
  })
  for (; layersLeft > 0; layersLeft -= 1) {
    fitted.push({ comment: 'tsbuild: layer without history in the base image' })
  }
  return fitted
}

/**
 * Base entries, then the new ones with their times (features row O13): an entry without a layer takes the time of the
 * layer before it, or of the first new layer when there is none before. With `epochSec` that is the time of all (O37), also
 * where it is still to come: when the build ran must not show. Base entries stay untouched; one without a time is given one
 * like a new entry.
 */
export function assembleHistory(
  base: readonly HistoryEntry[],
  added: readonly NewHistoryEntry[],
  epochSec: number | undefined,
): HistoryEntry[] {
  const entries = [...base.map((entry) => ({ ...entry })), ...added.map(newEntry)]
  const firstNew = added.find((entry) => entry.layer?.created !== undefined)?.layer?.created
  const lastBase = base.findLast((entry) => entry.created !== undefined)?.created
  let current = firstNew ?? lastBase
  let hasReachedNew = false
  for (const [index, entry] of entries.entries()) {
    hasReachedNew ||= index >= base.length && entry.created !== undefined
    if (hasReachedNew && entry.created !== undefined) {
      current = entry.created
    }
    const isOurs = index >= base.length || entry.created === undefined
    if (isOurs && epochSec !== undefined) {
      entry.created = formatTime(epochSec * 1000)
    } else if (entry.created === undefined && current !== undefined) {
      entry.created = current
    }
  }
  return entries
}

/** `time`, or the epoch when the time is later. */
export function clampTime(time: string, epochSec: number | undefined): string {
  if (epochSec === undefined || Date.parse(time) <= epochSec * 1000) {
    return time
  }
  return formatTime(epochSec * 1000)
}

/** RFC 3339 in UTC, as image configs hold times; whole seconds carry no fraction. */
export function formatTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('.000Z', 'Z')
}

function newEntry(planned: NewHistoryEntry): HistoryEntry {
  const entry: HistoryEntry = {}
  if (planned.layer?.created !== undefined) {
    entry.created = planned.layer.created
  }
  if (planned.author !== undefined && planned.author !== '') {
    entry.author = planned.author
  }
  entry.created_by = planned.createdBy
  if (planned.comment !== undefined) {
    entry.comment = planned.comment
  }
  if (planned.layer === undefined) {
    entry.empty_layer = true
  }
  return entry
}
