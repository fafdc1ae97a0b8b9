import {
  formatPlatform,
  localPlatform,
  OciError,
  type Platform,
  parsePlatform,
} from '../../../registry-client/oci/index.ts'
import type { BuildRequest } from '../../request.ts'
import { UsageError } from '../errors.ts'

/** A platform given by a flag, normalised (features row C18). Throws `UsageError`. */
export function readPlatform(text: string): Platform {
  try {
    return parsePlatform(text, builtPlatform())
  } catch (error) {
    if (error instanceof OciError) {
      throw new UsageError(`invalid platform: ${error.message}`, { cause: error })
    }
    throw error
  }
}

/**
 * The values of `--platform`; each may be a comma list. This machine's platform when there are none; a value without a
 * platform is an error, as in buildx.
 */
export function readPlatforms(
  values: readonly string[],
): Pick<BuildRequest, 'platforms' | 'repeatedPlatforms'> {
  const platforms = new Map<string, Platform>()
  const repeatedPlatforms: Platform[] = []
  for (const text of values.flatMap((value) => value.split(','))) {
    const platform = readPlatform(text.trim())
    const name = formatPlatform(platform)
    if (platforms.has(name)) repeatedPlatforms.push(platform)
    else platforms.set(name, platform)
  }
  const distinct = [...platforms.values()]
  return { platforms: distinct.length === 0 ? [builtPlatform()] : distinct, repeatedPlatforms }
}

/** Images of this machine's processor; their system is Linux wherever the builder itself runs. */
function builtPlatform(): Platform {
  return { ...localPlatform(), os: 'linux' }
}
