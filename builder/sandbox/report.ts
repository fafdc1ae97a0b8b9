import { decodePath, type LayerPath } from '../../snapshotter/index.ts'

/** What a file's owner should be where a single id is all there is. */
export interface RecordedOwner {
  readonly path: LayerPath
  readonly uid: number
  readonly gid: number
}

/** What sandbox-init says on descriptor 3 (snapshotter/native/sandbox-init/report.h). */
export type SandboxReport =
  | { readonly type: 'output'; readonly stream: 'stdout' | 'stderr'; readonly bytes: Uint8Array }
  | {
      readonly type: 'failure'
      readonly step: string
      readonly errno: number
      readonly detail: string
    }
  /** Owner of a link, pipe or socket, which have no attributes to record it in. */
  | { readonly type: 'owner'; readonly owner: RecordedOwner }
  /** The step has the /proc of the container around it: the kernel grants it no other. Fenced: it can look into no process there. */
  | { readonly type: 'shared-proc'; readonly isFenced: boolean }
  | {
      readonly type: 'exit'
      readonly exitCode: number
      readonly signal: number
      readonly cpuTimeMs: number
      readonly peakMemoryBytes: number
    }

const HEADER_BYTES = 5
const PAYLOAD_BYTES_MAX = 65_536

/** Cuts the byte stream into reports; keeps at most one incomplete frame. */
export class ReportReader {
  #rest: Buffer = Buffer.alloc(0)

  /** Throws a TypeError for bytes that sandbox-init never writes. */
  add(chunk: Uint8Array): SandboxReport[] {
    const reports: SandboxReport[] = []
    let bytes = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk])
    while (bytes.length >= HEADER_BYTES) {
      const length = bytes.readUInt32LE(1)
      if (length > PAYLOAD_BYTES_MAX)
        throw new TypeError(`sandbox-init sent a frame of ${length} bytes`)
      if (bytes.length < HEADER_BYTES + length) break
      reports.push(
        decode(bytes.toString('latin1', 0, 1), bytes.subarray(HEADER_BYTES, HEADER_BYTES + length)),
      )
      bytes = bytes.subarray(HEADER_BYTES + length)
    }
    this.#rest = Buffer.from(bytes)
    return reports
  }
}

function decode(type: string, payload: Buffer): SandboxReport {
  switch (type) {
    case 'O':
      return { type: 'output', stream: 'stdout', bytes: payload }
    case 'E':
      return { type: 'output', stream: 'stderr', bytes: payload }
    case 'F': {
      const end = payload.indexOf(0, 4)
      return {
        type: 'failure',
        errno: payload.readUInt32LE(0),
        step: payload.toString('utf8', 4, end),
        detail: payload.toString('utf8', end + 1),
      }
    }
    case 'W':
      return {
        type: 'owner',
        owner: {
          uid: payload.readUInt32LE(0),
          gid: payload.readUInt32LE(4),
          // Below the root, without the slash.
          path: decodePath(payload.subarray(9)),
        },
      }
    case 'P':
      return { type: 'shared-proc', isFenced: payload.readUInt8(0) === 1 }
    case 'X':
      return {
        type: 'exit',
        exitCode: payload.readInt32LE(0),
        signal: payload.readInt32LE(4),
        cpuTimeMs: Number(payload.readBigUInt64LE(8)) / 1000,
        peakMemoryBytes: Number(payload.readBigUInt64LE(16)) * 1024,
      }
    default:
      throw new TypeError(`sandbox-init sent a frame of type ${JSON.stringify(type)}`)
  }
}
