/** One tar header block and what follows it, with every field free to lie. */
export interface RawMember {
  readonly name: string | Buffer
  readonly type?: string
  readonly link?: string
  readonly prefix?: string
  readonly mode?: string
  readonly uid?: string | Buffer
  readonly mtime?: string | Buffer
  /** The size field; the real length of `body` by default. */
  readonly size?: string | Buffer
  readonly major?: string
  readonly minor?: string
  readonly magic?: string
  /** Bytes put over the finished header, before its checksum is made. */
  readonly patch?: { readonly at: number; readonly bytes: Buffer }
  readonly checksum?: string
  readonly body?: string | Buffer
}

const BLOCK = 512

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)])
}

function put(block: Buffer, at: number, value: string | Buffer): void {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  bytes.copy(block, at)
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0')
}

/** The blocks of one member. */
export function rawMember(member: RawMember): Buffer {
  const body = Buffer.from(member.body ?? '')
  const block = Buffer.alloc(BLOCK)
  put(block, 0, member.name)
  put(block, 100, member.mode ?? (member.type === '5' ? '0000755' : '0000644'))
  put(block, 108, member.uid ?? '0000000')
  put(block, 116, '0000000')
  put(block, 124, member.size ?? octal(body.length, 11))
  put(block, 136, member.mtime ?? octal(1_600_000_000, 11))
  put(block, 156, member.type ?? '0')
  put(block, 157, member.link ?? '')
  put(block, 257, member.magic ?? 'ustar\u000000')
  put(block, 329, member.major ?? '0000000')
  put(block, 337, member.minor ?? '0000000')
  put(block, 345, member.prefix ?? '')
  if (member.patch !== undefined) put(block, member.patch.at, member.patch.bytes)
  put(block, 148, '        ')
  const sum = block.reduce((total, byte) => total + byte, 0)
  put(block, 148, member.checksum ?? `${octal(sum, 6)}\0 `)
  return Buffer.concat([block, padded(body)])
}

/** A PAX header block for the member after it. */
export function paxHeader(records: Readonly<Record<string, string | Buffer>>, type = 'x'): Buffer {
  const body = Object.entries(records).map(([key, value]) => paxRecord(key, value))
  return rawMember({ name: 'PaxHeaders.0/x', type, body: Buffer.concat(body) })
}

function paxRecord(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')])
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) {
    length = String(length).length + rest.length
  }
  return Buffer.concat([Buffer.from(String(length)), rest])
}

/** The two zero blocks. */
export const TAR_END: Buffer = Buffer.alloc(2 * BLOCK)

/** A whole archive. */
export function rawTar(...parts: readonly (Buffer | RawMember)[]): Buffer {
  const members = parts.map((part) => (Buffer.isBuffer(part) ? part : rawMember(part)))
  return Buffer.concat([...members, TAR_END])
}
