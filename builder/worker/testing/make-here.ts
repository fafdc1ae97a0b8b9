import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { kernel, type PackEntry } from '../../../snapshotter/index.ts'
import type { MakeLayerRequest } from '../protocol.ts'

/** What a worker's `makeLayer` does, in this process and as this user: the owners are not those of the entries. */
export async function makeHere(
  entries: AsyncIterable<readonly PackEntry[]>,
  { directory }: MakeLayerRequest,
  signal: AbortSignal,
  onMade?: () => void | Promise<void>,
): Promise<void> {
  const root = join(directory, 'fs')
  await mkdir(root, { recursive: true })
  await using maker = kernel.createMaker({
    ...{ root, whiteouts: 'overlay', userXattr: false, ownership: 'none', signal },
  })
  for await (const batch of entries) {
    await maker.add(batch)
    await onMade?.()
  }
  await maker.finish()
}
