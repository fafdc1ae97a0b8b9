import { homedir } from 'node:os'
import { resolve } from 'node:path'
import type { RegistryClient, RegistryClientOptions } from '../../registry-client/index.ts'
import {
  defaultStateRoot,
  type Kernel,
  kernel,
  openStore,
  type Store,
} from '../../snapshotter/index.ts'
import { ImageStore } from '../image/image-store.ts'
import type { ParsedArgs } from './args.ts'
import type { CommandContext } from './command.ts'

/** What the commands that touch the state work with. Disposing it ends the lease on the state root. */
export interface CommandServices extends AsyncDisposable {
  readonly kernel: Kernel
  readonly store: Store
  readonly images: ImageStore
}

/** Where the state is: `--root`, else `TSBUILD_ROOT`, else the default of the user. */
function stateRootOf(args: ParsedArgs, { cwd, env }: CommandContext): string {
  const given = args.text('root')
  return given === undefined || given === ''
    ? defaultStateRoot(env, { uid: process.getuid?.() ?? 0, home: homedir() })
    : resolve(cwd, given)
}

/** Opens the state root. Errors: those of `openStore`. */
export async function openServices(
  args: ParsedArgs,
  context: CommandContext,
): Promise<CommandServices> {
  const store = await openStore(
    { path: stateRootOf(args, context), kernel, flushAfterwards: true },
    context.signal,
  )
  const images = ImageStore.of(store)
  return { kernel, store, images, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
}

/** Registry clients of one command: loaded and made when one is needed, as undici costs more than everything else together. */
export class Registries implements AsyncDisposable {
  readonly #args: ParsedArgs
  readonly #context: CommandContext
  readonly #onNotice: (text: string) => void
  /** By the registries that an output said are insecure. */
  readonly #clients = new Map<string, Promise<RegistryClient>>()

  constructor(args: ParsedArgs, context: CommandContext, onNotice: (text: string) => void) {
    this.#args = args
    this.#context = context
    this.#onNotice = onNotice
  }

  /** The client of this command, with what its flags say about registries; `insecure` names further registries without TLS. */
  client(insecure: readonly string[] = []): Promise<RegistryClient> {
    const key = insecure.join(' ')
    const client = this.#clients.get(key) ?? this.#open(insecure)
    this.#clients.set(key, client)
    return client
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opening of this.#clients.values()) {
      // A client that could not be made was reported to whoever asked for it.
      const client = await opening.catch(() => undefined)
      await client?.[Symbol.asyncDispose]()
    }
  }

  async #open(insecure: readonly string[]): Promise<RegistryClient> {
    const { RegistryClient, systemRouting } = await import('../../registry-client/index.ts')
    const { setFlagsFromString } = await import('node:v8')
    // undici reads HTTP by WebAssembly. V8's optimizing compiler would be at it from the first answer on, for a tenth of a
    // second of processor time: as much as all else that a push of a known image takes.
    setFlagsFromString('--wasm-tiering-budget=2000000000')
    return new RegistryClient({
      routing: systemRouting(this.#context.env),
      insecureRegistries: [...this.#args.list('insecure-registry'), ...insecure],
      ...certificateFiles(this.#args.list('registry-ca'), this.#context.cwd),
      env: this.#context.env,
      onNotice: this.#onNotice,
    })
  }
}

/** For commands without progress: what a registry has to say is written to stderr. */
export function noticingRegistries(args: ParsedArgs, context: CommandContext): Registries {
  return new Registries(args, context, (notice) => context.stderr.write(`NOTE: ${notice}\n`))
}

/** `--registry-ca [HOST=]FILE`: for one registry, or for all. */
function certificateFiles(
  values: readonly string[],
  cwd: string,
): Required<Pick<RegistryClientOptions, 'caFiles' | 'hostCertificates'>> {
  const caFiles: string[] = []
  const hostCertificates = new Map<string, { readonly authorities: string[] }>()
  for (const value of values) {
    // A host has no slash, so `./a=b.pem` and `/etc/a=b.pem` are files.
    const [, host, path] = /^([^/=]+)=(.+)$/s.exec(value) ?? []
    if (host === undefined || path === undefined) {
      caFiles.push(resolve(cwd, value))
      continue
    }
    const known = hostCertificates.get(host)?.authorities ?? []
    hostCertificates.set(host, { authorities: [...known, resolve(cwd, path)] })
  }
  return { caFiles, hostCertificates }
}
