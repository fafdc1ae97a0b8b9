import { appendFile, rm, writeFile } from 'node:fs/promises'
import { reasonOf } from '../../snapshotter/index.ts'
import type { BuildResult } from '../image/built-image.ts'
import type { AnnotationRequest } from '../request.ts'
import { checkFile } from './destination.ts'
import { ExportError } from './errors.ts'
import type { ExportOutcome } from './exporter.ts'
import { filePlace } from './file-place.ts'
import { rootManifest } from './layout-files.ts'
import { replaceFile } from './replace-file.ts'

/**
 * Which of several outputs the files of a result tell about: the last one with a digest, as in BuildKit. Files have none, and
 * what they are read from may be packed otherwise than what is pushed. -1: no output has one.
 */
export function toldOutput(exports: readonly (ExportOutcome | undefined)[]): number {
  return exports.findLastIndex((one) => one?.digest !== undefined)
}

/**
 * What `--metadata-file` holds (features row C27): digests, descriptor and names of what was exported. `digest` is
 * undefined when no output had one; then only the config's digest is told.
 */
export function metadataJson(
  result: BuildResult,
  exported: {
    readonly hasDigest: boolean
    readonly names: readonly string[]
    /** Of the output; those of the descriptor are told. */
    readonly annotations: readonly AnnotationRequest[]
  },
): Record<string, unknown> {
  const [image] = result.images
  const json: Record<string, unknown> = {}
  if (image !== undefined && result.index === undefined) {
    json['containerimage.config.digest'] = image.configDescriptor.digest
  }
  if (exported.hasDigest) {
    const root = rootManifest(result)
    json['containerimage.descriptor'] = {
      mediaType: root.mediaType,
      digest: root.digest,
      size: root.bytes.byteLength,
      ...annotationsField(result, exported.annotations),
      ...(result.index === undefined && image !== undefined
        ? { platform: platformOf(image.platform) }
        : {}),
    }
    json['containerimage.digest'] = root.digest
  }
  if (exported.names.length > 0) {
    json['image.name'] = exported.names.join(',')
  }
  return json
}

function annotationsField(
  result: BuildResult,
  requests: readonly AnnotationRequest[],
): { readonly annotations?: Record<string, string> } {
  const level = result.index === undefined ? 'manifest-descriptor' : 'index-descriptor'
  const created = result.images[0]?.config.created
  const annotations = Object.fromEntries([
    ...(created === undefined ? [] : [['org.opencontainers.image.created', created]]),
    ...requests.filter((one) => one.level === level).map(({ key, value }) => [key, value]),
  ])
  return Object.keys(annotations).length === 0 ? {} : { annotations }
}

/** What `--iidfile` and `--quiet` tell: the config's digest, or the index's when there are several images. */
export function imageIdOf(result: BuildResult): string {
  return (
    result.index?.digest ?? result.images[0]?.configDescriptor.digest ?? rootManifest(result).digest
  )
}

/**
 * Replaces `path` by `text` in one step; a device, a fifo or an open file is written to instead. Errors: `destination-unusable`.
 */
export async function writeResultFile(path: string, text: string): Promise<void> {
  try {
    if ((await filePlace(path)).isStream) {
      await appendFile(path, text)
      return
    }
    await replaceFile(path, (temporary) => writeFile(temporary, text, { flag: 'wx' }))
  } catch (error) {
    throw new ExportError('destination-unusable', `could not write ${path}: ${reasonOf(error)}`, {
      cause: error,
    })
  }
}

/** Before the build: an old file goes, so that nobody takes it for the result. Errors: those of `checkFile`. */
export async function prepareResultFile(path: string, flag: string): Promise<void> {
  await checkFile(path, `--${flag}`)
  if (!(await filePlace(path)).isStream) await rm(path, { force: true })
}

function platformOf(platform: BuildResult['images'][number]['platform']): object {
  const { os, architecture, variant } = platform
  return { architecture, os, ...(variant === undefined ? {} : { variant }) }
}
