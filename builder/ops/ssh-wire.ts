/** What is not of the form that a reader expects. */
export class WireError extends Error {
  override readonly name = 'WireError'
}

/** Reads the fields of SSH's wire format (RFC 4251, section 5). Throws `WireError` for bytes that end too early. */
export class WireReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  uint32(): number {
    return this.take(4).readUInt32BE(0)
  }

  string(): Buffer {
    return this.take(this.uint32())
  }

  text(): string {
    return this.string().toString('latin1')
  }

  /** A number that is not negative, without leading zeros. */
  unsigned(): Buffer {
    const bytes = this.string()
    if (((bytes[0] ?? 0) & 0x80) !== 0) throw new WireError('a number is negative')
    const first = bytes.findIndex((byte) => byte !== 0)
    return first < 0 ? Buffer.alloc(0) : bytes.subarray(first)
  }

  take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new WireError('it ends too early')
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }
}

export function wireUint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function wireString(value: Uint8Array | string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([wireUint32(bytes.length), bytes])
}

/** `big`: big-endian, not negative. */
export function wireNumber(big: Uint8Array): Buffer {
  const first = big.findIndex((byte) => byte !== 0)
  const bytes = first < 0 ? Buffer.alloc(0) : Buffer.from(big.subarray(first))
  const isSigned = ((bytes[0] ?? 0) & 0x80) !== 0
  return wireString(isSigned ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes)
}
