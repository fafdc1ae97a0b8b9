import type { SourceTree } from './copy-source.ts'

/** The inputs of a build that are files: the main context, named contexts, the Dockerfile. */
export interface BuildContexts extends AsyncDisposable {
  /** Text of the Dockerfile and how messages call it. Errors: `dockerfile-missing`, `context-missing`. */
  dockerfile(signal: AbortSignal): Promise<{ readonly name: string; readonly text: string }>
  /** The tree of a context, `context` being the main one; opened once. */
  open(name: string, signal: AbortSignal): Promise<SourceTree>
  /** Tells locations apart, for locks and `explain`; never part of a cache key. */
  identity(name: string): string
  /** Keeps what was learned about files for the next build. */
  save(): Promise<void>
}
