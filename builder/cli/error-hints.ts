import type { DockerfileErrorCode } from '../../frontend/index.ts'
import type { RegistryErrorCode } from '../../registry-client/index.ts'
import type { OciErrorCode } from '../../registry-client/oci/index.ts'
import type { SnapshotErrorCode, StoreErrorCode } from '../../snapshotter/index.ts'
import type { ContextErrorCode } from '../context/errors.ts'
import type { BuildErrorCode } from '../errors.ts'
import type { ExportErrorCode } from '../export/errors.ts'
import type { CopyErrorCode } from '../ops/copy-errors.ts'
import type { SandboxErrorCode } from '../sandbox/errors.ts'
import type { CommandErrorCode } from './errors.ts'

/** Every code that a failure of a command can have. */
export type FailureCode =
  | BuildErrorCode
  | CommandErrorCode
  | ContextErrorCode
  | CopyErrorCode
  | DockerfileErrorCode
  | ExportErrorCode
  | OciErrorCode
  | RegistryErrorCode
  | SandboxErrorCode
  | SnapshotErrorCode
  | StoreErrorCode

/**
 * What to do about a failure, where we know it beyond what the message says itself. The type makes the table complete: a
 * new code in any folder does not compile before somebody has thought about its hint.
 */
const HINTS: Readonly<Record<FailureCode, string | undefined>> = {
  // The build
  'step-failed': undefined,
  'dockerfile-invalid': undefined,
  'dockerfile-missing':
    '-f names it, from the current directory; without -f it is the file Dockerfile in the context',
  'image-missing':
    'check the name; base images come from the local store, a registry, or --build-context',
  'platform-missing': 'build for another --platform, or take a base image that has this one',
  'layout-invalid': undefined,
  'reference-invalid': undefined,
  'secret-missing': 'give it with --secret id=ID,src=FILE or --secret id=ID,env=VAR',
  'ssh-missing': undefined,
  'entitlement-missing': undefined,
  'layer-missing': undefined,
  'name-missing': "'tsbuild images' lists what is there; 'tsbuild pull' fetches from a registry",
  'name-ambiguous': 'give more characters of the id',
  'name-invalid': undefined,
  unsupported: undefined,
  canceled: undefined,
  // The Dockerfile
  syntax: undefined,
  'unknown-instruction': undefined,
  'bad-flag': undefined,
  'bad-argument': undefined,
  expansion: undefined,
  'no-stage': undefined,
  'stage-order': undefined,
  'circular-stage': undefined,
  'unknown-target': "'tsbuild build --call=targets' lists the stages",
  'bad-reference': undefined,
  'base-unresolved': undefined,
  'lint-violation': "'tsbuild build --check' shows each place",
  // The context
  'bad-pattern': undefined,
  'context-missing': undefined,
  'context-unreadable':
    'make it readable for this user, or exclude it in .dockerignore if the build does not need it',
  'context-invalid': undefined,
  'context-too-large': undefined,
  // COPY, ADD and WORKDIR
  'source-missing': undefined,
  'copy-conflict': undefined,
  'too-many-links': undefined,
  'bad-owner': undefined,
  'bad-mode': undefined,
  'bad-archive': 'the archive is damaged, or made to write where it must not',
  'reserved-name': 'rename the file: names that begin with .wh. mean removed files in layers',
  'download-failed': undefined,
  'checksum-mismatch': 'the file at the URL has changed, or the checksum is wrong',
  'git-failed': undefined,
  'git-missing': 'install git: repositories are fetched with it',
  // Registries
  'registry-unreachable': 'check the name, the network, and HTTPS_PROXY if there is a proxy',
  timeout: 'try again; if it stays, check the network and HTTPS_PROXY',
  'tls-untrusted': undefined,
  'tls-failed': 'for a registry without TLS give --insecure-registry HOST:PORT',
  unauthorized: undefined,
  denied: 'check that this account may do it, and quotas and policies of the project',
  'not-found': undefined,
  'tag-immutable': 'push under another tag, or allow this one to change in the registry',
  'rate-limited': "wait, or log in with 'tsbuild login' for a higher limit",
  'too-large': undefined,
  'digest-mismatch':
    'the bytes changed on their way or in the registry: do not use them; try again or ask its administrator',
  'size-mismatch':
    'the bytes changed on their way or in the registry: do not use them; try again or ask its administrator',
  'bad-manifest': undefined,
  'bad-config': undefined,
  'bad-platform': undefined,
  'no-platform-match': 'give a --platform that the image has',
  'server-failed': 'the registry has a problem: try again later',
  'bad-response': undefined,
  'bad-configuration': undefined,
  // The sandbox
  'sandbox-unavailable': undefined,
  'sandbox-setup-failed': undefined,
  'sandbox-user-unknown': 'create the user in an earlier RUN, or give numbers (USER 1000:1000)',
  'sandbox-mount-invalid': undefined,
  'sandbox-limit-unsupported': 'leave the limit out',
  'sandbox-died': 'most often the machine ran out of memory: see dmesg',
  'worker-died': 'most often the machine ran out of memory: see dmesg',
  // State on disk
  'state-root-newer': undefined,
  'state-root-unusable': 'give a directory of your own with --root or TSBUILD_ROOT',
  'blob-mismatch': undefined,
  'blob-corrupt': 'build or pull again',
  'blob-missing': 'build or pull again',
  'blob-too-large': undefined,
  'contents-damaged': "'tsbuild prune -a' removes what can be made again",
  'snapshot-layer-missing': 'build again',
  'snapshot-too-many-layers': 'combine steps, or copy the result into a new stage',
  'diff-name-reserved': 'rename the file: names that begin with .wh. mean removed files in layers',
  'diff-not-plain': undefined,
  // Outputs and commands
  'destination-unusable': undefined,
  'export-unsupported': undefined,
  'engine-failed': undefined,
  'image-invalid': undefined,
  'image-in-use': undefined,
  'archive-unreadable': undefined,
  'config-invalid': undefined,
  'login-failed': undefined,
  'shell-missing': undefined,
  'step-missing': undefined,
  'not-supported': undefined,
  'platform-repeated': 'leave one of them out, or copy one platform of it first: copy --platform',
}

/** Hints for system calls that fail wherever they are made. */
const ERRNO_HINTS: ReadonlyMap<string, string> = new Map([
  [
    'ENOSPC',
    "no space is left on that disk: 'tsbuild prune' frees what can be made again; --root puts the state elsewhere",
  ],
  [
    'EDQUOT',
    "the disk quota is used up: 'tsbuild prune' frees what can be made again; --root puts the state elsewhere",
  ],
  ['EIO', "the disk failed: the kernel's log (dmesg) says more; --root puts the state elsewhere"],
  ['EROFS', 'the filesystem is read-only: give a writable --root'],
  ['EMFILE', 'too many open files: raise the limit with ulimit -n'],
])

/** The hint for an error code or errno name, undefined when the message says it all. */
export function hintFor(code: string): string | undefined {
  return isFailureCode(code) ? HINTS[code] : ERRNO_HINTS.get(code)
}

function isFailureCode(code: string): code is FailureCode {
  return Object.hasOwn(HINTS, code)
}
