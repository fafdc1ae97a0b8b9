import { randomUUID } from 'node:crypto'

/** An upload in progress. */
export interface FakeUpload {
  readonly id: string
  readonly repository: string
  bytes: Buffer
}

/** The uploads that a fake registry remembers. */
export class FakeUploads {
  readonly #uploads = new Map<string, FakeUpload>()

  begin(repository: string): FakeUpload {
    const upload = { id: randomUUID(), repository, bytes: Buffer.alloc(0) }
    this.#uploads.set(upload.id, upload)
    return upload
  }

  find(id: string): FakeUpload | undefined {
    return this.#uploads.get(id)
  }

  end(id: string): void {
    this.#uploads.delete(id)
  }

  /** As a restarted server does. */
  forgetAll(): void {
    this.#uploads.clear()
  }

  get openCount(): number {
    return this.#uploads.size
  }
}
