import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const SYSTEM_CACHE = '/var/cache/tsbuild-test'

/**
 * Path of something that tests need and that is made once: per machine when root made it, else per user. It need not
 * be there yet. TSBUILD_TEST_CACHE names another folder.
 */
export function testCachePath(name: string): string {
  const chosen = process.env['TSBUILD_TEST_CACHE']
  if (chosen !== undefined && chosen !== '') return join(chosen, name)
  const ofSystem = join(SYSTEM_CACHE, name)
  if (process.getuid?.() === 0 || existsSync(ofSystem)) return ofSystem
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'tsbuild-test', name)
}
