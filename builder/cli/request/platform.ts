import {
  formatPlatform,
  localPlatform,
  OciError,
  type Platform,
  parsePlatform,
} from '../../../registry-client/oci/index.ts'
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

/** The values of `--platform` (each may be a comma list) without repetitions; this machine's when there are none. */
export function readPlatforms(values: readonly string[]): Platform[] {
  const platforms = new Map<string, Platform>()
  for (const text of values.flatMap((value) => value.split(',')).filter((part) => part !== '')) {
    const platform = readPlatform(text.trim())
    platforms.set(formatPlatform(platform), platform)
  }
  return platforms.size === 0 ? [builtPlatform()] : [...platforms.values()]
}

/** Images of this machine's processor; their system is Linux wherever the builder itself runs. */
function builtPlatform(): Platform {
  return { ...localPlatform(), os: 'linux' }
}
