import type { Descriptor, DiffId } from '../../registry-client/oci/index.ts'
import type { DiffEntry, LayerDirectory } from '../../snapshotter/index.ts'
import type { BlobBeingPacked, GrowingBlob } from './growing-blob.ts'

/** A registry that holds a layer's blob. */
export interface LayerOrigin {
  readonly registry: string
  readonly repository: string
}

/** What is known once a layer is packed, or was known all along. */
export interface PackedLayer {
  readonly diffId: DiffId
  /** RFC 3339; undefined for layers of base images, whose history has their times. */
  readonly createdAt: string | undefined
}

/** What a step wrote, a page at a time in the order of tables of contents, until its layer is packed. */
export interface PendingChanges {
  /** Undefined when the layer is packed: its table of contents tells. */
  page(
    index: number,
  ): Promise<{ readonly entries: readonly DiffEntry[]; readonly pageCount: number } | undefined>
}

/** What is there of a layer before it is packed. */
export interface UnpackedLayer {
  /** The next step can run over it at once; undefined: only once it is packed and unpacked. */
  readonly directory: LayerDirectory | undefined
  readonly changes: PendingChanges
  /** What the packer writes, or is going to. */
  readonly blob: GrowingBlob
}

/**
 * A layer of a stage's filesystem, as far as this build knows it. A layer that a step just made has its changes at once,
 * and its directory when there is one, but a diffId only when packing is done; any other has its diffId from the start.
 *
 *   base, cached:   packed ──────────────────────────────────────────> used by diffId
 *   just executed:  changes, directory ──(background: pack, record)──> packed
 */
export class BuildLayer {
  /** Rejects when packing failed; that failure also fails the build, so nobody has to wait here. */
  readonly packing: Promise<PackedLayer>
  /** Blob as the base image's manifest lists it, and where it can be fetched. */
  readonly base: RemoteBlob | undefined
  /** Where the blob can be fetched from when it is not in the store: a base image's place, or a remote cache. */
  readonly remote: RemoteBlob | undefined
  /** A remote cache says that this is the layer, and does not hold it: it can be built on only by name. */
  readonly isNameOnly: boolean
  /** Where a just executed step wrote; undefined: ask the store by diffId. */
  readonly directory: LayerDirectory | undefined
  /** What a just executed step wrote; undefined: the table of contents tells. */
  readonly changes: PendingChanges | undefined
  /** What the packer writes, or has written; undefined: nothing is packed in this build. */
  readonly beingPacked: BlobBeingPacked | undefined
  readonly title: string
  #packed: PackedLayer | undefined

  private constructor(parts: {
    readonly title: string
    readonly packing: Promise<PackedLayer>
    readonly packed?: PackedLayer
    readonly base?: RemoteBlob
    readonly remote?: RemoteBlob
    readonly isNameOnly?: boolean
    readonly unpacked?: UnpackedLayer
    readonly likely?: BlobBeingPacked['likely']
  }) {
    this.title = parts.title
    this.packing = parts.packing
    this.base = parts.base
    this.remote = parts.remote
    this.isNameOnly = parts.isNameOnly ?? false
    this.directory = parts.unpacked?.directory
    this.changes = parts.unpacked?.changes
    this.beingPacked = parts.unpacked &&
      parts.likely && { blob: parts.unpacked.blob, likely: parts.likely }
    this.#packed = parts.packed
  }

  static ofBase(title: string, diffId: DiffId, base: RemoteBlob): BuildLayer {
    const packed = { diffId, createdAt: undefined }
    return new BuildLayer({ title, packing: Promise.resolve(packed), packed, base, remote: base })
  }

  static ofRecord(title: string, packed: PackedLayer): BuildLayer {
    return new BuildLayer({ title, packing: Promise.resolve(packed), packed })
  }

  /** A layer that a remote cache tells of; `remote` undefined: only by name. */
  static ofCache(title: string, packed: PackedLayer, remote: RemoteBlob | undefined): BuildLayer {
    const parts = { title, packing: Promise.resolve(packed), packed }
    return new BuildLayer(
      remote === undefined ? { ...parts, isNameOnly: true } : { ...parts, remote },
    )
  }

  /** `likely`: as in BlobBeingPacked. */
  static ofStep(
    title: string,
    unpacked: UnpackedLayer,
    packing: Promise<PackedLayer>,
    likely: BlobBeingPacked['likely'],
  ): BuildLayer {
    const layer = new BuildLayer({ title, packing, unpacked, likely })
    packing.then(
      (packed) => {
        layer.#packed = packed
      },
      // Reported by the scheduler, which watches the same work.
      () => undefined,
    )
    return layer
  }

  /** Undefined while the layer is being packed. */
  get packed(): PackedLayer | undefined {
    return this.#packed
  }
}

/** A layer's blob that may not be in the store yet. */
export interface RemoteBlob {
  readonly descriptor: Descriptor
  readonly origins: readonly LayerOrigin[]
  /** Set for layers of an OCI layout directory: its blob file. */
  readonly file: string | undefined
}

/** A filesystem: layers, bottom first. Empty is scratch. */
export type LayerStack = readonly BuildLayer[]

/** DiffIds of all layers; undefined while one of them is being packed. */
export function knownDiffIds(stack: LayerStack): DiffId[] | undefined {
  const diffIds: DiffId[] = []
  for (const layer of stack) {
    if (layer.packed === undefined) {
      return undefined
    }
    diffIds.push(layer.packed.diffId)
  }
  return diffIds
}

/** Waits until every layer is packed. */
export async function packedDiffIds(stack: LayerStack): Promise<DiffId[]> {
  const packed = await Promise.all(stack.map((layer) => layer.packing))
  return packed.map((layer) => layer.diffId)
}
