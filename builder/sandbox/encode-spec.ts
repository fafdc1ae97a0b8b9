import type { RootMount } from '../../snapshotter/index.ts'
import { SandboxError } from './errors.ts'
import type { SandboxSpec, SpecMount } from './spec.ts'

/** The writing side of snapshotter/native/sandbox-init/spec.c; both follow the order of spec.h. */
const MAGIC = 0x32425354
const STDIO = { captured: 0, inherited: 1, terminal: 2 } as const
const NETWORK = { shared: 0, none: 1, join: 2 } as const
const TREE = { overlay: 0, bind: 1 } as const
const MOUNT = { tree: 0, tmpfs: 1, file: 2, socket: 3 } as const
const UNLIMITED = (1n << 64n) - 1n

class SpecWriter {
  readonly #parts: Uint8Array[] = []

  number(value: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value)
    this.#parts.push(bytes)
  }

  flag(value: boolean): void {
    this.number(value ? 1 : 0)
  }

  long(value: bigint): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(value)
    this.#parts.push(bytes)
  }

  bytes(value: Uint8Array): void {
    this.number(value.length)
    this.#parts.push(value, Buffer.alloc(1))
  }

  text(value: string): void {
    if (value.includes('\0')) {
      throw new SandboxError(
        'sandbox-setup-failed',
        `could not run the step: ${JSON.stringify(value)} has a NUL byte, which no program can be given`,
      )
    }
    this.bytes(Buffer.from(value))
  }

  list(values: readonly string[]): void {
    this.number(values.length)
    for (const value of values) this.text(value)
  }

  finish(): Buffer {
    const body = Buffer.concat(this.#parts)
    const header = Buffer.alloc(8)
    header.writeUInt32LE(MAGIC)
    header.writeUInt32LE(body.length, 4)
    return Buffer.concat([header, body])
  }
}

export interface EncodeOptions {
  /** Mounts overlays by mount(2) as on kernels before 6.8, for tests of that way. */
  readonly useOptionString?: boolean
}

/** The bytes of one run for sandbox-init's descriptor 3. Errors: `sandbox-setup-failed` for a text with a NUL byte. */
export function encodeSpec(spec: SandboxSpec, options: EncodeOptions = {}): Buffer {
  const out = new SpecWriter()
  const useOptionString = options.useOptionString === true
  out.number(STDIO[spec.stdio])
  out.number(NETWORK[spec.network.kind])
  out.text(spec.network.kind === 'join' ? spec.network.path : '')
  out.flag(spec.hasCgroupNamespace)
  out.flag(spec.isConfined && !spec.isChroot)
  out.flag(spec.isConfined)
  out.flag(spec.isChroot)
  out.flag(spec.recordsOwners)
  out.long(spec.capabilities)
  out.long(BigInt(spec.shmSizeBytes))
  writeTree(out, spec.root, useOptionString)
  out.list(spec.args)
  out.list(spec.env)
  out.text(spec.cwd)
  out.text(spec.user)
  out.text(spec.hostname)
  out.list(spec.maskedPaths)
  out.list(spec.readonlyPaths)
  out.list(spec.cgroupProcs)
  out.number(spec.mounts.length)
  for (const mount of spec.mounts) writeMount(out, mount, useOptionString)
  out.number(spec.limits.length)
  for (const { resource, soft, hard } of spec.limits) {
    out.number(resource)
    out.long(limitValue(soft))
    out.long(limitValue(hard))
  }
  return out.finish()
}

function limitValue(value: number): bigint {
  return value < 0 || !Number.isFinite(value) ? UNLIMITED : BigInt(value)
}

function writeTree(out: SpecWriter, tree: RootMount, useOptionString: boolean): void {
  out.number(TREE[tree.type])
  if (tree.type === 'bind') {
    out.text(tree.dir)
    return
  }
  out.flag(tree.userXattr)
  out.flag(useOptionString)
  out.text(tree.upperDir)
  out.text(tree.workDir)
  out.list(tree.lowerDirs)
}

function writeMount(out: SpecWriter, mount: SpecMount, useOptionString: boolean): void {
  out.number(MOUNT[mount.type])
  out.flag((mount.type === 'tree' || mount.type === 'tmpfs') && mount.isReadonly)
  out.text(mount.target)
  switch (mount.type) {
    case 'tree':
      writeTree(out, mount.tree, useOptionString)
      out.text(mount.source)
      return
    case 'tmpfs':
      out.long(BigInt(mount.sizeBytes ?? 0))
      return
    case 'file':
      out.number(mount.mode)
      out.number(mount.uid)
      out.number(mount.gid)
      out.bytes(mount.content)
      return
    case 'socket':
      out.text(mount.socket)
      return
    default:
      mount satisfies never
  }
}
