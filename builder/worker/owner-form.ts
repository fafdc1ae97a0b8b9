import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../../snapshotter/index.ts'
import { SandboxError } from '../sandbox/errors.ts'
import type { Rung } from '../sandbox/ladder.ts'

/** How the owners of unpacked layers are kept: as ids of the files, or recorded beside them. */
type OwnerForm = 'ids' | 'recorded'

const FILE = 'owners'

/**
 * The rung to take over this state root. Layers that were unpacked with recorded owners are of no use to a namespace with many
 * ids, and the other way round: a root stays with the form that it began with.
 * Errors: `sandbox-unavailable` when the root was begun with more ids than there are now.
 */
export async function agreeOnOwners(
  root: string,
  wanted: Rung,
  singleId: () => Rung,
): Promise<Rung> {
  const begun = await begunForm(root)
  if (begun === undefined || begun === formOf(wanted)) return wanted
  if (begun === 'recorded' && wanted.rung === 'userns-subids') {
    return {
      ...singleId(),
      notice: `${root} was begun with a single user id and stays so (remove it to use the range in /etc/subuid)`,
    }
  }
  throw otherKind(root, begun, wanted)
}

/**
 * Begins the root with the form of a rung that works, before anything is unpacked by it.
 * Errors: `sandbox-unavailable` when another build has begun it with the other form meanwhile.
 */
export async function recordOwnerForm(root: string, { rung, notice }: Rung): Promise<void> {
  const form = formOf({ rung })
  try {
    await writeFile(join(root, FILE), `${form}\n`, { flag: 'wx' })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
    const begun = await begunForm(root)
    if (begun !== form) throw otherKind(root, begun, { notice })
  }
}

function formOf({ rung }: Pick<Rung, 'rung'>): OwnerForm {
  return rung === 'userns-single-id' ? 'recorded' : 'ids'
}

async function begunForm(root: string): Promise<OwnerForm | undefined> {
  try {
    return (await readFile(join(root, FILE), 'utf8')).trim() === 'recorded' ? 'recorded' : 'ids'
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

function otherKind(
  root: string,
  begun: OwnerForm | undefined,
  { notice }: Pick<Rung, 'notice'>,
): SandboxError {
  const why = notice === undefined ? '' : ` (${notice})`
  return new SandboxError(
    'sandbox-unavailable',
    `could not isolate steps: ${root} holds layers of another kind: their owners are ${
      begun === 'recorded'
        ? 'recorded beside them'
        : `real ids, and only a single one can be used now${why}`
    }; use another --root, or remove that one`,
  )
}
