import { createSocket } from 'node:dgram'

/** A nameserver on the loopback that has one address for every name: `resolver.js ADDRESS`; prints a line when it listens. */
const [address = ''] = process.argv.slice(2)
const QUESTION_AT = 12
const socket = createSocket('udp4')
socket.on('message', (query, { port, address: asker }) => {
  const end = query.indexOf(0, QUESTION_AT) + 5
  const isA = query.readUInt16BE(end - 4) === 1
  const header = Buffer.from(query.subarray(0, QUESTION_AT))
  header.writeUInt16BE(0x8180, 2)
  header.writeUInt16BE(isA ? 1 : 0, 6)
  header.fill(0, 8)
  // The name of the question, class IN, for ten seconds.
  const answer = Buffer.from([0xc0, QUESTION_AT, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4])
  const data = Buffer.from(address.split('.').map(Number))
  const parts = [header, query.subarray(QUESTION_AT, end), ...(isA ? [answer, data] : [])]
  socket.send(Buffer.concat(parts), port, asker)
})
socket.bind(53, '127.0.0.1', () => process.stdout.write('listening\n'))
