import type { FlagSpecs } from '../args.ts'
import { RESOURCE_FLAGS } from './resources.ts'

/** Where the state is: every command that touches it takes this flag. */
export const ROOT_FLAG: FlagSpecs = {
  root: {
    kind: 'text',
    value: 'DIR',
    help: 'Directory that holds the state (default $TSBUILD_ROOT, /var/lib/tsbuild, or below the home)',
  },
}

/** What steps may use and images must not hold. */
export const SECRET_FLAGS: FlagSpecs = {
  secret: {
    kind: 'list',
    value: 'id=ID,...',
    help: 'Secret for RUN --mount=type=secret: id=ID[,src=FILE][,env=VAR]',
  },
  ssh: { kind: 'list', value: 'ID[=PATH,...]', help: 'SSH agent or keys for RUN --mount=type=ssh' },
}

/** Flags about registries, of the commands that talk to one. */
export const REGISTRY_FLAGS: FlagSpecs = {
  'insecure-registry': {
    kind: 'list',
    value: 'HOST[:PORT]',
    help: 'Registry that may be used over plain http or with an unknown certificate',
  },
  'registry-ca': {
    kind: 'list',
    value: '[HOST=]FILE',
    help: 'CA certificates (PEM) to trust for a registry',
  },
}

/** The flags of `build`; meanings are those of `docker buildx build` (features rows C14-C63). */
export const BUILD_FLAGS: FlagSpecs = {
  'add-host': {
    kind: 'list',
    value: 'HOST=IP',
    help: 'Line for /etc/hosts of RUN steps; host-gateway is this machine',
  },
  allow: {
    kind: 'list',
    value: 'ENTITLEMENT',
    help: 'Permit network.host, security.insecure or buildx.local.delete',
  },
  annotation: {
    kind: 'list',
    value: '[TYPE:]K=V',
    help: 'Annotation of the manifest, index or their descriptors',
  },
  attest: { kind: 'list', value: 'type=T,...' },
  'build-arg': {
    kind: 'list',
    value: 'K[=V]',
    help: 'Value of an ARG; without =V that of the environment',
  },
  'build-context': {
    kind: 'list',
    value: 'NAME=VALUE',
    help: 'Named context: directory, docker-image://, oci-layout://, git or http URL',
  },
  'cache-from': {
    kind: 'list',
    value: 'REF|type=T,...',
    help: 'Cache to read from (registry, local): docs/cache.md',
  },
  'cache-to': {
    kind: 'list',
    value: 'REF|type=T,...',
    help: 'Cache to write to (registry, local, inline): docs/cache.md',
  },
  call: {
    kind: 'text',
    value: 'METHOD',
    help: 'build, check, outline or targets[,format=json]: describe instead of build',
  },
  'cgroup-parent': { kind: 'text', value: 'PATH', help: 'Control group to run steps below' },
  check: { kind: 'boolean', help: 'Check the Dockerfile without building: --call=check' },
  file: {
    kind: 'text',
    short: 'f',
    value: 'PATH',
    help: 'Dockerfile (default PATH/Dockerfile), a URL, or - for stdin',
  },
  iidfile: { kind: 'text', value: 'FILE', help: 'File to write the image id to' },
  label: { kind: 'list', value: 'K=V', help: 'Label of the image' },
  load: { kind: 'boolean', help: 'Load into the local store, and into a running docker or podman' },
  'metadata-file': {
    kind: 'text',
    value: 'FILE',
    help: 'File to write digests and names to, as JSON',
  },
  network: { kind: 'text', value: 'MODE', help: 'Network of RUN steps: default, none, host' },
  'no-cache': { kind: 'boolean', help: 'Execute every step again' },
  'no-cache-filter': {
    kind: 'list',
    value: 'STAGE',
    help: 'Execute the steps of these stages again',
  },
  'on-failure': {
    kind: 'text',
    value: 'ACTION',
    help: 'After a failed RUN: keep its files for tsbuild shell (default, if the disk has room), shell (open one at once), discard',
  },
  output: {
    kind: 'list',
    short: 'o',
    value: 'DEST',
    help: 'type=image|registry|oci|docker|local|tar|cacheonly,dest=..., a directory, or - for a tar',
  },
  platform: { kind: 'list', value: 'OS/ARCH', help: 'Platform to build for, may be repeated' },
  progress: { kind: 'text', value: 'MODE', help: 'auto, plain, tty, quiet, rawjson or none' },
  provenance: { kind: 'text', value: 'false', help: 'Only false: there are no attestations yet' },
  pull: { kind: 'boolean', help: 'Ask the registry again for base images' },
  push: { kind: 'boolean', help: 'Push the result: -o type=registry' },
  quiet: { kind: 'boolean', short: 'q', help: 'Print the image id only' },
  sbom: { kind: 'text', value: 'false', help: 'Only false: there are no attestations yet' },
  ...SECRET_FLAGS,
  'shm-size': { kind: 'text', value: 'BYTES', help: 'Size of /dev/shm' },
  tag: { kind: 'list', short: 't', value: 'NAME', help: 'Name for the image, may be repeated' },
  target: { kind: 'text', value: 'STAGE', help: 'Stage to build (default the last)' },
  ulimit: { kind: 'list', value: 'NAME=SOFT[:HARD]', help: 'Limit of RUN steps' },
  ...RESOURCE_FLAGS,
  ...REGISTRY_FLAGS,
  ...ROOT_FLAG,
  debug: { kind: 'boolean', short: 'D', help: 'Show the cause of errors, and all about warnings' },
  // Accepted because scripts pass them; each is without effect by what tsbuild is (features row C50).
  builder: { kind: 'text' },
  compress: { kind: 'boolean' },
  'disable-content-trust': { kind: 'boolean' },
  'force-rm': { kind: 'boolean' },
  isolation: { kind: 'text' },
  rm: { kind: 'boolean' },
  'security-opt': { kind: 'list' },
  squash: { kind: 'boolean' },
}

/** Flags without an effect, with the reason that one notice gives. */
export const IGNORED_FLAGS: readonly { readonly flag: string; readonly reason: string }[] = [
  { flag: 'builder', reason: 'there is no builder instance' },
  { flag: 'compress', reason: 'the context is not sent anywhere' },
  { flag: 'disable-content-trust', reason: 'digests are always verified' },
  { flag: 'force-rm', reason: 'nothing is left after a step' },
  { flag: 'isolation', reason: 'it is for Windows' },
  { flag: 'rm', reason: 'nothing is left after a step' },
  { flag: 'security-opt', reason: 'steps always have the default profiles' },
  { flag: 'squash', reason: 'copy the result into a new stage to have one layer' },
]
