import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

/**
 * What a program beside this file prints, run by node: for tests of what one process knows of another. A sanitizer that the
 * addon was built with must be there before node, and is taken from the environment of other children (.ci/sanitize.mjs).
 */
export function inOtherProcess(
  program: string,
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly input?: string } = {},
): string {
  const preload = process.env['TSBUILD_SANITIZER_PRELOAD']
  const run = spawnSync(process.execPath, [join(import.meta.dirname, program), ...args], {
    encoding: 'utf8',
    input: options.input ?? '',
    env: {
      ...process.env,
      ...options.env,
      ...(preload === undefined ? {} : { LD_PRELOAD: preload }),
    },
  })
  assert.equal(run.stderr, '')
  assert.equal(run.status, 0)
  return run.stdout
}
