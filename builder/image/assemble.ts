import type { BuildGraph, NodeId } from '../../frontend/index.ts'
import {
  type DiffId,
  formatPlatform,
  type HistoryEntry,
  type ManifestBytes,
  type Platform,
} from '../../registry-client/oci/index.ts'
import type { AnnotationRequest, LayerFormat } from '../request.ts'
import type { BuildResult, BuiltImage, ImageLayer } from './built-image.ts'
import { assembleConfig, encodeConfig } from './config.ts'
import { encodeIndex, encodeManifest } from './manifest.ts'

/** A finished platform before it is written in a format. */
export interface FinishedPlatform {
  readonly graph: BuildGraph
  readonly layers: readonly { readonly diffId: DiffId }[]
  readonly base: {
    readonly history: readonly HistoryEntry[]
    readonly created: string | undefined
    readonly layerCount: number
  }
  /** When the layer of a history entry was made, by its node. */
  readonly layerTimes: ReadonlyMap<NodeId, string | undefined>
}

export interface ImageFormat {
  readonly format: LayerFormat
  readonly annotations: readonly AnnotationRequest[]
  /** An index even for one platform (features row D51). */
  readonly isIndexForced: boolean
}

/** Stores a config or manifest. */
export type PutBytes = (bytes: Uint8Array) => Promise<void>

/**
 * Writes config and manifest of every platform, and their index when there are several, in the media types and with the
 * annotations of a format. Equal inputs give equal digests.
 */
export async function assembleResult(
  platforms: readonly {
    readonly finished: FinishedPlatform
    readonly layers: readonly ImageLayer[]
  }[],
  format: ImageFormat,
  put: PutBytes,
): Promise<BuildResult> {
  const images = await Promise.all(
    platforms.map(({ finished, layers }) => assembleImage(finished, layers, format, put)),
  )
  const epochSec = platforms[0]?.finished.graph.epochSec
  if (images.length === 1 && !format.isIndexForced) {
    return { images, index: undefined, epochSec }
  }
  const index = encodeIndex({
    useOciMediaTypes: format.format.useOciMediaTypes,
    annotations: annotationsFor(format.annotations, ['index'], undefined),
    manifests: images.map(({ manifest, platform }) => ({
      manifest,
      platform,
      annotations: annotationsFor(format.annotations, ['manifest-descriptor'], platform),
    })),
  })
  await put(index.bytes)
  return { images, index, epochSec }
}

async function assembleImage(
  finished: FinishedPlatform,
  layers: readonly ImageLayer[],
  { format, annotations }: ImageFormat,
  put: PutBytes,
): Promise<BuiltImage> {
  const { graph, base, layerTimes } = finished
  const { useOciMediaTypes } = format
  const config = assembleConfig({
    stage: graph.config,
    baseHistory: base.history,
    baseCreated: base.created,
    baseLayerCount: base.layerCount,
    diffIds: layers.map((layer) => layer.diffId),
    history: graph.history.map(({ node, ...entry }) => ({
      ...entry,
      layer: node === undefined ? undefined : { created: layerTimes.get(node) },
    })),
    epochSec: graph.epochSec,
  })
  const { bytes, descriptor } = encodeConfig(config, useOciMediaTypes)
  const platform = platformOf(graph)
  const manifest: ManifestBytes = encodeManifest({
    config: descriptor,
    layers: layers.map((layer) => layer.descriptor),
    useOciMediaTypes,
    annotations: annotationsFor(annotations, ['manifest'], platform),
  })
  await Promise.all([put(bytes), put(manifest.bytes)])
  return { platform, config, configDescriptor: descriptor, manifest, layers }
}

/** What the image says it is for: `FROM --platform` may differ from what was asked. */
function platformOf(graph: BuildGraph): Platform {
  const { os, architecture, variant } = graph.config
  const osVersion = graph.config['os.version']
  return {
    os,
    architecture,
    ...(variant === undefined || variant === '' ? {} : { variant }),
    ...(osVersion === undefined || osVersion === '' ? {} : { osVersion }),
  }
}

function annotationsFor(
  annotations: readonly AnnotationRequest[],
  levels: readonly AnnotationRequest['level'][],
  platform: Platform | undefined,
): Map<string, string> {
  const name = platform === undefined ? undefined : formatPlatform(platform)
  return new Map(
    annotations
      .filter(({ level }) => levels.includes(level))
      .filter((annotation) => annotation.platform === undefined || annotation.platform === name)
      .map(({ key, value }) => [key, value]),
  )
}
