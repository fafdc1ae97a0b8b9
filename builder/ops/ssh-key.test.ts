import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { generateKeyPairSync, verify } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { readPrivateKey, SshKeyError } from './ssh-key.ts'
import { answerAgent } from './ssh-agent.ts'
import { WireReader, wireNumber, wireString, wireUint32 } from './ssh-wire.ts'

const hasKeygen = spawnSync('ssh-keygen', ['-?']).error === undefined

describe('private keys for --ssh', () => {
  let directory: string
  before(function () {
    if (!hasKeygen && process.env['TSBUILD_MUST_WORK'] !== '1') this.skip()
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-keys-'))
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  function generate(name: string, args: readonly string[]): { key: Buffer; blob: Buffer } {
    const path = join(directory, name)
    const made = spawnSync('ssh-keygen', ['-q', '-f', path, '-N', '', ...args])
    assert.equal(made.status, 0, made.stderr?.toString())
    const blob = Buffer.from(readFileSync(`${path}.pub`, 'utf8').split(' ')[1] ?? '', 'base64')
    return { key: readFileSync(path), blob }
  }

  const types: readonly (readonly [string, ...string[]])[] = [
    ['ed25519'],
    ['rsa', '-b', '2048'],
    ['ecdsa', '-b', '256'],
    ['ecdsa', '-b', '384'],
    ['ecdsa', '-b', '521'],
  ]
  for (const [type, ...bits] of types) {
    // PEM has no form of its own for Ed25519: ssh-keygen writes OpenSSH's.
    for (const format of type === 'ed25519' ? ['RFC4716'] : ['RFC4716', 'PEM', 'PKCS8']) {
      it(`are read: ${[type, ...bits, format].join(' ')}`, () => {
        const name = [type, ...bits, format].join('')
        const { key, blob } = generate(name, ['-t', type, ...bits, '-m', format])
        assert.deepEqual(readPrivateKey(key).publicBlob, blob)
      })
    }
  }

  it('are read with leading zeros in their numbers, and sign', () => {
    // One number in 256 is a byte shorter than its curve.
    for (let index = 0; index < 600; index += 1) {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const pem = privateKey.export({ type: 'sec1', format: 'pem' })
      const { d = '', x = '', y = '' } = privateKey.export({ format: 'jwk' })
      const [number, ...point] = [d, x, y].map((part) => Buffer.from(part, 'base64url'))
      const key = readPrivateKey(
        openSshFile([
          ...['ecdsa-sha2-nistp256', 'nistp256'].map((text) => wireString(text)),
          wireString(Buffer.concat([Buffer.of(4), ...point])),
          wireNumber(number ?? Buffer.of()),
        ]),
      )
      assert.deepEqual(key.publicBlob, readPrivateKey(Buffer.from(pem)).publicBlob)
      const outer = new WireReader(key.sign(Buffer.from('text'), 0))
      assert.equal(outer.text(), 'ecdsa-sha2-nistp256')
      const numbers = new WireReader(outer.string())
      const padded = [numbers.unsigned(), numbers.unsigned()].map((part) =>
        Buffer.concat([Buffer.alloc(32 - part.length), part]),
      )
      const options = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const
      assert.ok(verify('sha256', Buffer.from('text'), options, Buffer.concat(padded)))
    }
  })

  it('with a passphrase are refused, in every format', () => {
    for (const format of ['RFC4716', 'PEM', 'PKCS8']) {
      const path = join(directory, `locked${format}`)
      const args = ['-q', '-f', path, '-N', 'secret', '-t', 'rsa', '-m', format]
      assert.equal(spawnSync('ssh-keygen', args).status, 0)
      assert.throws(() => readPrivateKey(readFileSync(path)), {
        name: 'SshKeyError',
        message: /passphrase protected; add it to an agent with ssh-add/,
      })
    }
  })

  it('are told from other files', () => {
    const { blob } = generate('other', ['-t', 'ed25519'])
    for (const bytes of [Buffer.from(`ssh-ed25519 ${blob.toString('base64')} me`), Buffer.of(0)]) {
      assert.throws(() => readPrivateKey(bytes), /it is neither a socket nor a private key/)
    }
  })

  it('that are damaged are an error of ours, whatever is in them', () => {
    const { key } = generate('fuzzed', ['-t', 'ecdsa'])
    const [, body = ''] = /KEY-----\n([\s\S]+)-----END/.exec(key.toString()) ?? []
    const raw = Buffer.from(body, 'base64')
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(raw.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(raw.length),
        (changes, end) => {
          const damaged = Buffer.from(raw)
          for (const [at, value] of changes) damaged[at] = value
          const text = damaged.subarray(0, end).toString('base64')
          const file = `-----BEGIN OPENSSH PRIVATE KEY-----\n${text}\n-----END OPENSSH PRIVATE KEY-----\n`
          try {
            readPrivateKey(Buffer.from(file))
          } catch (error) {
            assert.ok(error instanceof SshKeyError, String(error))
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  it('are listed and sign, and an agent with them does nothing else', () => {
    const key = readPrivateKey(generate('agent', ['-t', 'ed25519']).key)
    const list = answerAgent([key], Buffer.of(11))
    assert.equal(list[4], 12)
    assert.ok(list.includes(key.publicBlob))
    const failure = Buffer.of(0, 0, 0, 1, 5)
    for (const type of [1, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 254]) {
      assert.deepEqual(answerAgent([key], Buffer.of(type, 0, 0, 0, 0)), failure)
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (message) => {
        const answer = answerAgent([key], message)
        assert.equal(answer.readUInt32BE(0), answer.length - 4)
      }),
      { numRuns: 1000 },
    )
  })
})

/** The file that ssh-keygen would write for the fields of one key (OpenSSH's PROTOCOL.key). */
function openSshFile(fields: readonly Buffer[]): Buffer {
  const none = ['none', 'none', ''].map((text) => wireString(text))
  const inner = Buffer.concat([wireUint32(7), wireUint32(7), ...fields, wireString('comment')])
  const bytes = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    ...none,
    ...[wireUint32(1), wireString('public'), wireString(inner)],
  ])
  const name = 'OPENSSH PRIVATE KEY'
  return Buffer.from(
    `-----BEGIN ${name}-----\n${bytes.toString('base64')}\n-----END ${name}-----\n`,
  )
}
