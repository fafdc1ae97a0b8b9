import { familiarReference, parseReference } from '../../registry-client/oci/index.ts'
import type { BuildResult } from '../image/built-image.ts'
import type { LayerFormat } from '../request.ts'
import { archiveTar } from './archive-tar.ts'
import { byteCounter } from './archive.ts'
import { describeEngine, type EngineAddress, loadIntoEngine } from './engine.ts'
import type { Exporter, ExportOutcome, ExportServices } from './exporter.ts'
import {
  blobFiles,
  dockerManifestFile,
  layoutEntries,
  layoutHead,
  rootManifest,
} from './layout-files.ts'
import { fetchCached, type StoreParts, storeResult } from './store.ts'

/**
 * `--load` (features row C30): into the local store, and into the Docker or podman engine of this machine when there is one. Which
 * of them is said.
 */
export class LoadExporter implements Exporter {
  readonly format: LayerFormat
  readonly #names: readonly string[]
  readonly #parts: StoreParts
  readonly #engine: EngineAddress | undefined

  constructor(
    options: {
      readonly format: LayerFormat
      readonly names: readonly string[]
      readonly engine: EngineAddress | undefined
    },
    parts: StoreParts,
  ) {
    this.format = options.format
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
    const step = services.steps.start(`loading into ${target}`)
    try {
      await fetchCached(result, services, signal)
      await storeResult(result, { names: this.#names, origins: [] }, this.#parts, signal)
      if (this.#engine !== undefined) {
        const parts = { result, names: this.#names, annotations: [] }
        const files = [
          dockerManifestFile([parts]),
          ...(await blobFiles(result, services, signal)),
          ...layoutHead(layoutEntries(parts)),
        ].sort((a, b) => (a.name < b.name ? -1 : 1))
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
      step.end('done')
    } catch (error) {
      step.end('failed', error instanceof Error ? error.message : String(error))
      throw error
    }
    return { digest: rootManifest(result).digest, names: this.#names }
  }

  #loadedMessage(): string {
    const names = this.#names.map((name) => familiarReference(parseReference(name)))
    return names.length === 0
      ? 'Loaded image without a name'
      : names.map((name) => `Loaded image: ${name}`).join('\n')
  }
}
