import { rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import type { SshKey } from './ssh-key.ts'
import { WireReader, wireString, wireUint32 } from './ssh-wire.ts'

/** draft-ietf-sshm-ssh-agent, "Message numbers". */
const FAILURE = 5
const REQUEST_IDENTITIES = 11
const IDENTITIES_ANSWER = 12
const SIGN_REQUEST = 13
const SIGN_RESPONSE = 14

const HEADER_BYTES = 4
/** OpenSSH's limit for a message (AGENT_MAX_LEN). */
const MESSAGE_BYTES_MAX = 256 * 1024

/**
 * Answers a message to an agent that has `keys`: which there are, and signatures. Everything else fails: no key can be
 * added, removed, or taken out.
 */
export function answerAgent(keys: readonly SshKey[], message: Uint8Array): Buffer {
  try {
    return framed(answer(keys, message))
  } catch {
    // Not a message of the protocol, or nothing that the key can sign: the protocol has one answer for all of it.
    return framed(Buffer.from([FAILURE]))
  }
}

function answer(keys: readonly SshKey[], message: Uint8Array): Buffer {
  const reader = new WireReader(message.subarray(1))
  switch (message[0] ?? 0) {
    case REQUEST_IDENTITIES: {
      // The comment is empty, as in BuildKit: the name of a file or a person is not for the step.
      const list = keys.flatMap(({ publicBlob }) => [wireString(publicBlob), wireString('')])
      return Buffer.concat([Buffer.from([IDENTITIES_ANSWER]), wireUint32(keys.length), ...list])
    }
    case SIGN_REQUEST: {
      const blob = reader.string()
      const data = reader.string()
      const key = keys.find(({ publicBlob }) => publicBlob.equals(blob))
      if (key === undefined) return Buffer.from([FAILURE])
      const signature = wireString(key.sign(data, reader.uint32()))
      return Buffer.concat([Buffer.from([SIGN_RESPONSE]), signature])
    }
    default:
      return Buffer.from([FAILURE])
  }
}

function framed(message: Buffer): Buffer {
  return Buffer.concat([wireUint32(message.length), message])
}

/** An agent with `keys` at the unix socket `path`, until it is disposed. The keys are nowhere but in this process. */
export async function serveAgent(
  keys: readonly SshKey[],
  path: string,
): Promise<{ readonly path: string } & AsyncDisposable> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    // Whoever hangs up in the middle is gone.
    socket.on('error', () => socket.destroy())
    socket.once('close', () => sockets.delete(socket))
    void converse(socket, keys).catch(() => socket.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  // A build that has nothing else to do does not wait for its agent.
  server.unref()
  return {
    path,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      await rm(path, { force: true })
    },
  }
}

async function converse(socket: Socket, keys: readonly SshKey[]): Promise<void> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of socket) {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= HEADER_BYTES) {
      const length = rest.readUInt32BE(0)
      if (length === 0 || length > MESSAGE_BYTES_MAX) throw new RangeError('no such message')
      if (rest.length < HEADER_BYTES + length) break
      const message = rest.subarray(HEADER_BYTES, HEADER_BYTES + length)
      rest = rest.subarray(HEADER_BYTES + length)
      const answered = answerAgent(keys, message)
      if (!socket.write(answered)) {
        await new Promise<void>((resolve) => {
          socket.once('drain', resolve).once('close', resolve)
        })
      }
    }
  }
}
