import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf } from '../../snapshotter/index.ts'
import type { RunNode } from '../../frontend/index.ts'
import { BuildError } from '../errors.ts'

/** Where specifications of devices lie (Container Device Interface). */
const CDI_DIRECTORIES = ['/etc/cdi', '/var/run/cdi'] as const

/**
 * Devices are not supported (features row D78). One that need not be there is left out, as BuildKit does, but only where
 * no specification could have given it. Errors: `unsupported`.
 */
export function checkDevices(
  devices: RunNode['devices'],
  directories: readonly string[] = CDI_DIRECTORIES,
): void {
  const required = devices.find((candidate) => candidate.required)
  if (required !== undefined) {
    throw unsupported(required.name)
  }
  const [device] = devices
  if (device === undefined) {
    return
  }
  const spec = directories.flatMap(specsIn)[0]
  if (spec !== undefined) {
    throw unsupported(device.name, ` (${spec} may describe it)`)
  }
}

function unsupported(name: string, where = ''): BuildError {
  return new BuildError(
    'unsupported',
    `could not run the step: device ${name}: CDI devices are not supported${where}`,
  )
}

function specsIn(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /\.(?:json|ya?ml)$/.test(name))
      .map((name) => join(directory, name))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') {
      return []
    }
    throw error
  }
}
