import type { StageContext } from './conversion.ts'
import { commandError } from './conversion.ts'
import type { ExpandedCopy } from './expanded-copy.ts'
import type { GitSource } from './git-url.ts'
import { parseGitUrl } from './git-url.ts'
import { goQuote } from './go-format.ts'
import type { CopySource, NodeOrigin } from './graph.ts'
import type { AddCommand } from './instructions/copy.ts'
import { baseName } from './posix-path.ts'

const UNNAMED = '__unnamed__'
const CONTROL = /\p{Cc}/u
const SHA256 = /^sha256:[a-f0-9]{64}$/

/** A remote source of ADD. */
interface RemoteRequest {
  readonly copy: ExpandedCopy
  readonly command: AddCommand
  /** Of the instruction: the download is shown as a part of it. */
  readonly origin: NodeOrigin
}

/** True for a URL that is downloaded as one file; an http URL of a git repository is not. */
export function isHttpUrl(source: string): boolean {
  return /^https?:\/\//.test(source) && parseGitUrl(source) === undefined
}

/** The copy source of `ADD <url>` (features rows D114, D115, D117). Throws DockerfileError. */
export function httpSource(
  context: StageContext,
  request: RemoteRequest & { readonly url: string },
): CopySource {
  const { copy, command, url, origin } = request
  const filename = fileNameOf(url)
  const checksum = copy.checksum === '' ? undefined : copy.checksum
  if (checksum !== undefined && !SHA256.test(checksum)) {
    const message = `invalid checksum digest format: ${goQuote(checksum)} is not sha256:<64 hex digits>`
    throw commandError(command, message, { code: 'bad-flag', focus: command.checksum })
  }
  const { graph } = context.conversion
  const from = graph.shared(JSON.stringify(['http', url, checksum]), () => ({
    kind: 'http',
    url,
    checksum,
    filename,
    origin,
  }))
  const unpack = command.unpack === true ? 'always' : 'never'
  return { type: 'path', from, pattern: filename, unpack, isRemote: true }
}

/** Last part of the path of `url`, as a file is named after it. */
export function fileNameOf(url: string): string {
  // By hand: `URL` resolves dots, which are a name that cannot be used here.
  const path = /^https?:\/\/[^/?#]*([^?#]*)/.exec(url)?.[1] ?? ''
  const name = URL.canParse(url) && !CONTROL.test(url) ? baseName(decodePath(path)) : ''
  return ['', '.', '..', '/'].includes(name) ? UNNAMED : name
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    // A stray `%`: for Go the whole is no URL.
    return ''
  }
}

/** The copy source of `ADD <git url>` (features rows D118-D120). Throws DockerfileError. */
export function gitSource(
  context: StageContext,
  request: RemoteRequest & { readonly git: GitSource },
): CopySource {
  const { copy, command, git, origin } = request
  const { keepGitDir } = command
  if (keepGitDir !== undefined && git.keepGitDir !== undefined && keepGitDir !== git.keepGitDir) {
    const message = 'inconsistent keep-git-dir configuration'
    throw commandError(command, message, { code: 'bad-flag', focus: '--keep-git-dir' })
  }
  if (copy.checksum !== '' && git.checksum !== undefined && copy.checksum !== git.checksum) {
    const message = `checksum mismatch ${goQuote(copy.checksum)} != ${goQuote(git.checksum)}`
    throw commandError(command, message, { code: 'bad-flag', focus: '--checksum' })
  }
  const fields = {
    remote: git.remote,
    ref: git.ref,
    subdir: git.subdir,
    checksum: git.checksum ?? (copy.checksum === '' ? undefined : copy.checksum),
    keepGitDir: git.keepGitDir ?? keepGitDir ?? false,
    submodules: git.submodules ?? true,
    mtime: git.mtime ?? ('checkout' as const),
    fetchByCommit: git.fetchByCommit,
  }
  const from = context.conversion.graph.shared(JSON.stringify(['git', fields]), () => ({
    kind: 'git',
    ...fields,
    origin,
  }))
  return { type: 'path', from, pattern: '/', unpack: 'never', isRemote: true }
}
