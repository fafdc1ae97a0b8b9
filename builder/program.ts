import { readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Script } from 'node:vm'

/**
 * Starts one of our two programs: from its bundle (one file instead of some hundred modules, with the code that V8 made
 * of it: a third of the start-up time) when that is at least as new as the compiled modules, else from the modules. Both
 * are made of the same sources.
 */
export async function startProgram(
  name: 'cli' | 'worker',
  modules: () => Promise<Program>,
): Promise<void> {
  const bundle = fileURLToPath(new URL(`../bundle/${name}.cjs`, import.meta.url))
  const program = isCurrent(bundle) ? runBundle(bundle) : await modules()
  await program.ended
}

/** What the main module of a program exports. */
export interface Program {
  /** Awaited at the top: a program that has nothing to wait for any more and did not end fails (status 13). */
  readonly ended: Promise<void>
}

/** tsc writes its build information whenever it wrote a module; a release has none. */
function isCurrent(bundle: string): boolean {
  const made = modifiedMs(bundle)
  const compiled = modifiedMs(fileURLToPath(new URL('../.tsbuildinfo', import.meta.url)))
  return made !== undefined && (compiled === undefined || made >= compiled)
}

function modifiedMs(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs
}

type ModuleFunction = (
  exports: unknown,
  require: NodeJS.Require,
  module: { readonly exports: Program },
  file: string,
  directory: string,
) => void

/**
 * Where V8's code for a bundle is kept. V8 takes code of another release of node with the same V8, and crashes on it: the
 * name says which program it is for.
 */
export function codeFile(bundle: string): string {
  const sizeBytes = statSync(process.execPath).size
  return `${bundle}.${process.version}-${process.arch}-${sizeBytes}.cache`
}

/** As `require` does, with the code of an earlier compilation where V8 accepts it (same version, same options). */
function runBundle(file: string): Program {
  // The bundler escapes everything that is not ASCII, and one byte a character is read fastest.
  const source = readFileSync(file, 'latin1')
  const wrapped = `(function (exports, require, module, __filename, __dirname) {${source}\n})`
  const cachedData = readCode(codeFile(file))
  const script = new Script(wrapped, {
    filename: file,
    ...(cachedData === undefined ? {} : { cachedData }),
  })
  const run: ModuleFunction = script.runInThisContext()
  const holder: { exports: Program } = { exports: { ended: Promise.resolve() } }
  run(holder.exports, createRequire(file), holder, file, dirname(file))
  return holder.exports
}

function readCode(file: string): Buffer | undefined {
  return statSync(file, { throwIfNoEntry: false }) === undefined ? undefined : readFileSync(file)
}
