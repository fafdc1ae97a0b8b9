import type { Compression, Digest, DiffId } from '../../registry-client/oci/index.ts'

/** The form that a blob is packed in. */
export interface BlobForm {
  readonly compression: Compression
  readonly level: number | undefined
}

/** A blob that is whole. */
export interface WholeBlob {
  readonly digest: Digest
  readonly sizeBytes: number
}

/**
 * A layer's blob from before it is packed until it is: its file only ever grows, and bytes once written stay as they are,
 * so that it can be read meanwhile. Afterwards the file belongs to the store, which gives it another name.
 */
export class GrowingBlob {
  /** Not there before the packer begins. */
  readonly file: string
  readonly form: BlobForm
  readonly #over = new AbortController()
  #whole: WholeBlob | undefined

  constructor(file: string, form: BlobForm) {
    this.file = file
    this.form = form
  }

  /** Aborted when the packer has ended, whatever became of it. */
  get over(): AbortSignal {
    return this.#over.signal
  }

  /** Undefined before the packer has ended, and when it failed. */
  get whole(): WholeBlob | undefined {
    return this.#whole
  }

  /** Does the packer's work on it, `pack`, and gives what that gives. */
  async during<
    Packed extends { readonly digest: Digest | undefined; readonly sizeBytes: number | undefined },
  >(pack: () => Promise<Packed>): Promise<Packed> {
    try {
      const packed = await pack()
      const { digest, sizeBytes } = packed
      if (digest !== undefined && sizeBytes !== undefined) this.#whole = { digest, sizeBytes }
      return packed
    } finally {
      this.#over.abort()
    }
  }
}

/** A step's blob for whoever wants its bytes early. */
export interface BlobBeingPacked {
  readonly blob: GrowingBlob
  /** The layer that it is likely to be: the same step gave it last time, of the same files. Undefined: nobody knows. */
  readonly likely: () => Promise<DiffId | undefined>
}
