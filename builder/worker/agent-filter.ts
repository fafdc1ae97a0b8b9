import { Transform } from 'node:stream'

/** draft-ietf-sshm-ssh-agent, "Message numbers". */
const REQUEST_IDENTITIES = 11
const SIGN_REQUEST = 13
/** No agent knows it (the range is reserved): it answers with a failure, in its turn. */
const UNKNOWN_REQUEST = Buffer.from([0, 0, 0, 1, 254])

const HEADER_BYTES = 4
/** OpenSSH's limit for a message (AGENT_MAX_LEN). */
const MESSAGE_BYTES_MAX = 256 * 1024

/**
 * What a step may ask of a forwarded agent: which keys there are, and a signature. Anything else (adding and removing keys,
 * locking, extensions, as BuildKit's read-only agent) is turned into a request that fails. Errors the stream for a message
 * that no agent would take.
 */
export function agentFilter(): Transform {
  let rest: Buffer = Buffer.alloc(0)
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      rest = Buffer.concat([rest, chunk])
      while (rest.length > HEADER_BYTES) {
        const length = rest.readUInt32BE(0)
        if (length === 0 || length > MESSAGE_BYTES_MAX) {
          done(new RangeError(`could not forward to the agent: a message of ${length} bytes`))
          return
        }
        if (rest.length < HEADER_BYTES + length) break
        const message = rest.subarray(0, HEADER_BYTES + length)
        const kind = message[HEADER_BYTES]
        this.push(kind === REQUEST_IDENTITIES || kind === SIGN_REQUEST ? message : UNKNOWN_REQUEST)
        rest = rest.subarray(HEADER_BYTES + length)
      }
      done()
    },
  })
}
