import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { digestHex } from '../../../registry-client/oci/index.ts'
import { bytesEntry, pack } from './layer-files.ts'

// A program: packs its input as two files into the blobs of a store, and prints the blob's name.
const [, , root = ''] = process.argv
const content = await text(process.stdin)
const output = join(root, 'output')
const { digest } = await pack([bytesEntry('a', 'x'), bytesEntry('b', content)], {
  ...{ output, compression: 'gzip', level: 2, partsTable: join(root, 'parts') },
})
if (digest === undefined) throw new TypeError('a blob has a digest')
await rename(output, join(root, 'sha256', digestHex(digest)))
process.stdout.write(digestHex(digest))
