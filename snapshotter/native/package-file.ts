import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Host path of a file of this package, by its path from the package's root: the same whether this module runs from
 * dist/ or from a bundle. Undefined when no folder above this module has it.
 */
export function packageFile(path: string): string | undefined {
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    const candidate = join(directory, path)
    if (existsSync(candidate)) return candidate
    if (directory === dirname(directory)) return undefined
  }
}
