import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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
  const form: OwnerForm = wanted.rung === 'userns-single-id' ? 'recorded' : 'ids'
  const begun = await begin(join(root, FILE), form)
  if (begun === form) return wanted
  if (begun === 'recorded' && wanted.rung === 'userns-subids') {
    return {
      ...singleId(),
      notice: `${root} was begun with a single user id and stays so (remove it to use the range in /etc/subuid)`,
    }
  }
  throw new SandboxError(
    'sandbox-unavailable',
    `could not isolate steps: ${root} holds layers of another kind: their owners are ${
      begun === 'ids' ? 'real ids, and only a single one can be used now' : 'recorded beside them'
    }; use another --root, or remove that one`,
  )
}

async function begin(path: string, form: OwnerForm): Promise<OwnerForm> {
  try {
    await writeFile(path, `${form}\n`, { flag: 'wx' })
    return form
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    return (await readFile(path, 'utf8')).trim() === 'recorded' ? 'recorded' : 'ids'
  }
}
