import { familiarReference, parseReference } from '../../registry-client/oci/index.ts'
import type { BuildResult } from '../image/built-image.ts'
import type { AnnotationRequest, LayerFormat } from '../request.ts'
import { archiveTar } from './archive-tar.ts'
import { byteCounter } from './archive.ts'
import { describeEngine, type EngineAddress, loadIntoEngine } from './engine.ts'
import type { Exporter, ExportOutcome, ExportServices } from './exporter.ts'
import {
  blobFiles,
  dockerManifestFile,
  inOrder,
  layoutEntries,
  layoutHead,
  rootManifest,
} from './layout-files.ts'
import { fetchCached, type StoreParts, storeResult } from './store.ts'
import { tellManifests } from './told-facts.ts'

/**
 * `--load` (features row C30): into the local store, and into the Docker or podman engine of this machine when there is one. Which
 * of them is said.
 */
export class LoadExporter implements Exporter {
  readonly format: LayerFormat
  readonly annotations: readonly AnnotationRequest[]
  readonly #names: readonly string[]
  readonly #parts: StoreParts
  readonly #engine: EngineAddress | undefined

  constructor(
    options: {
      readonly format: LayerFormat
      readonly names: readonly string[]
      readonly annotations: readonly AnnotationRequest[]
      readonly engine: EngineAddress | undefined
    },
    parts: StoreParts,
  ) {
    this.format = options.format
    this.annotations = options.annotations
    this.#names = options.names
    this.#engine = options.engine
    this.#parts = parts
  }

  async export(
    result: BuildResult,
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<ExportOutcome> {
    const target =
      this.#engine === undefined
        ? 'local store'
        : `local store and engine at ${describeEngine(this.#engine)}`
    await services.steps.during(`loading into ${target}`, signal, async (step) => {
      await fetchCached(result, services, signal)
      await storeResult(result, { names: this.#names, origins: [] }, this.#parts, signal)
      tellManifests(step, result)
      if (this.#engine !== undefined) {
        const parts = { result, names: this.#names, annotations: this.annotations }
        const files = inOrder([
          dockerManifestFile([parts]),
          ...(await blobFiles(result, services, signal)),
          ...layoutHead(layoutEntries(parts)),
        ])
        const messages = await loadIntoEngine(
          this.#engine,
          archiveTar(files, byteCounter(step), signal),
          signal,
        )
        step.log(
          'stdout',
          `${(messages.length > 0 ? messages : [this.#loadedMessage()]).join('\n')}\n`,
        )
      }
    })
    return { digest: rootManifest(result).digest, names: this.#names }
  }

  #loadedMessage(): string {
    const names = this.#names.map((name) => familiarReference(parseReference(name)))
    return names.length === 0
      ? 'Loaded image without a name'
      : names.map((name) => `Loaded image: ${name}`).join('\n')
  }
}
