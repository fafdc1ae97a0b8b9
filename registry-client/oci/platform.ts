import { arch, platform } from 'node:os'
import { OciError } from './errors.ts'

/** A platform as the OCI image index names it (image-spec, image-index.md, `platform`). */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  readonly osVersion?: string
  readonly osFeatures?: readonly string[]
}

const PART = /^[A-Za-z0-9_.-]+$/
const OS_PART = /^([A-Za-z0-9_.-]+)(?:\(([A-Za-z0-9_.-]*)\))?$/

const KNOWN_OS = new Set(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos'.split(
    ' ',
  ),
)
const KNOWN_ARCHITECTURES = new Set(
  '386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm'.split(
    ' ',
  ),
)

/**
 * Reads `os/architecture[/variant]`, `os`, `architecture` or `local`, in any spelling containerd
 * accepts, and normalises it (features row C18). What is left out comes from `local`. Throws
 * OciError `bad-platform`.
 */
export function parsePlatform(text: string, local: Platform = localPlatform()): Platform {
  if (text === 'local') return local
  const [first = '', second, third, ...rest] = text.split('/')
  const osMatch = OS_PART.exec(first)
  if (osMatch?.[1] === undefined || rest.length > 0) throw badPlatform(text)
  for (const part of [second, third]) {
    if (part !== undefined && !PART.test(part)) throw badPlatform(text)
  }
  const osVersion = osMatch[2] === undefined || osMatch[2] === '' ? {} : { osVersion: osMatch[2] }
  if (second !== undefined) {
    const variant = third === undefined ? {} : { variant: third }
    return normalizePlatform({ os: osMatch[1], architecture: second, ...variant, ...osVersion })
  }
  return parseSinglePart(text, osMatch[1], osVersion, local)
}

function parseSinglePart(
  text: string,
  part: string,
  osVersion: { readonly osVersion?: string },
  local: Platform,
): Platform {
  const os = normalizeOs(part)
  if (KNOWN_OS.has(os)) {
    const variant = local.variant === undefined ? {} : { variant: local.variant }
    return { os, architecture: local.architecture, ...variant, ...osVersion }
  }
  const normalized = normalizePlatform({ os: local.os, architecture: part })
  if (!KNOWN_ARCHITECTURES.has(normalized.architecture)) {
    throw new OciError(
      'bad-platform',
      `${JSON.stringify(text)}: unknown operating system or architecture`,
    )
  }
  return normalized
}

function badPlatform(text: string): OciError {
  const form = 'os/architecture or os/architecture/variant, such as linux/arm64'
  return new OciError('bad-platform', `${JSON.stringify(text)} is not a platform: write ${form}`)
}

/** `os/architecture[/variant]`, with `(version)` after the os when there is one. */
export function formatPlatform(value: Platform): string {
  const version =
    value.osVersion === undefined || value.osVersion === '' ? '' : `(${value.osVersion})`
  const variant = value.variant === undefined || value.variant === '' ? '' : `/${value.variant}`
  return `${value.os}${version}/${value.architecture}${variant}`
}

/**
 * One spelling for each platform: `aarch64` is `arm64`, `x86_64` is `amd64`, `arm` is `arm/v7`,
 * `arm64/v8` is `arm64`.
 */
export function normalizePlatform(value: Platform): Platform {
  const { variant: _variant, ...others } = value
  const [architecture, variant] = normalizeArchitecture(
    value.architecture.toLowerCase(),
    value.variant?.toLowerCase() ?? '',
  )
  return {
    ...others,
    os: normalizeOs(value.os),
    architecture,
    ...(variant === '' ? {} : { variant }),
  }
}

function normalizeOs(os: string): string {
  const lower = os.toLowerCase()
  return lower === 'macos' ? 'darwin' : lower
}

function normalizeArchitecture(
  architecture: string,
  variant: string,
): [architecture: string, variant: string] {
  switch (architecture) {
    case 'i386':
      return ['386', '']
    case 'x86_64':
    case 'x86-64':
    case 'amd64':
      return ['amd64', variant === 'v1' ? '' : variant]
    case 'aarch64':
    case 'arm64':
      return ['arm64', variant === '8' || variant === 'v8' ? '' : variant]
    case 'armhf':
      return ['arm', 'v7']
    case 'armel':
      return ['arm', 'v6']
    case 'arm':
      if (variant === '') return ['arm', 'v7']
      return ['arm', /^[5-8]$/.test(variant) ? `v${variant}` : variant]
    default:
      return [architecture, variant]
  }
}

/** The platform of this machine: what a build without `--platform` is for. */
export function localPlatform(): Platform {
  const os = platform() === 'win32' ? 'windows' : platform()
  return normalizePlatform({ os, architecture: ARCHITECTURE_OF_NODE.get(arch()) ?? arch() })
}

const ARCHITECTURE_OF_NODE = new Map([
  ['x64', 'amd64'],
  ['ia32', '386'],
  ['mipsel', 'mipsle'],
  // Node only ships for the little-endian form.
  ['ppc64', 'ppc64le'],
])

/**
 * How well `offered` serves `wanted`: 0 is exact, larger is worse, undefined not at all. The order
 * is containerd's (features row R32): the same architecture from the wanted variant downwards, then
 * what its processors also run (amd64: 386; arm64: arm). A wanted Windows version must agree in its
 * first three numbers, the ABI.
 */
export function platformRank(wanted: Platform, offered: Platform): number | undefined {
  const want = normalizePlatform(wanted)
  const offer = normalizePlatform(offered)
  if (want.os !== offer.os || !isSameOsAbi(want, offer)) return undefined
  if ((offer.osFeatures ?? []).some((feature) => !(want.osFeatures ?? []).includes(feature)))
    return undefined
  const label = `${offer.architecture}/${offer.variant ?? ''}`
  const rank = servingPlatforms(want.architecture, want.variant ?? '').indexOf(label)
  return rank === -1 ? undefined : rank
}

/** The best of `offered` for `wanted`; the first of equals; undefined when none serves. */
export function bestPlatform<T extends { readonly platform?: Platform }>(
  wanted: Platform,
  offered: readonly T[],
): T | undefined {
  let best: { readonly item: T; readonly rank: number } | undefined
  for (const item of offered) {
    const rank = item.platform === undefined ? undefined : platformRank(wanted, item.platform)
    if (rank !== undefined && (best === undefined || rank < best.rank)) best = { item, rank }
  }
  return best?.item
}

function isSameOsAbi(want: Platform, offer: Platform): boolean {
  if (want.os !== 'windows' || !want.osVersion || !offer.osVersion) return true
  const abi = (version: string): string => version.split('.').slice(0, 3).join('.')
  return abi(want.osVersion) === abi(offer.osVersion)
}

function servingPlatforms(architecture: string, variant: string): string[] {
  const number = Number(/^v(\d{1,2})(?:\.\d+)?$/.exec(variant)?.[1] ?? Number.NaN)
  switch (architecture) {
    case 'amd64':
      return [`amd64/${variant}`, ...downFrom('amd64', number - 1, 2), 'amd64/', '386/']
    case 'arm':
      return [`arm/${variant}`, ...downFrom('arm', number - 1, 5)]
    case 'arm64':
      return [
        `arm64/${variant}`,
        ...olderArm64(variant),
        'arm64/',
        'arm/v8',
        ...downFrom('arm', 7, 5),
      ]
    default:
      return [`${architecture}/${variant}`]
  }
}

/**
 * arm64/v9.N runs what v9.0 to v9.N and v8.0 to v8.(N+5) run; `v8` itself is written without a
 * variant.
 */
function olderArm64(variant: string): string[] {
  const match = /^v([89])(?:\.(\d))?$/.exec(variant)
  if (match === null) return []
  const minor = Number(match[2] ?? 0)
  if (match[1] === '8') return downFrom('arm64', minor - 1, 1, 'v8.')
  const nine = minor === 0 ? [] : [...downFrom('arm64', minor - 1, 1, 'v9.'), 'arm64/v9']
  return [...nine, ...downFrom('arm64', minor + 5, 1, 'v8.')]
}

function downFrom(architecture: string, first: number, last: number, prefix = 'v'): string[] {
  const labels: string[] = []
  for (let number = first; number >= last; number -= 1)
    labels.push(`${architecture}/${prefix}${number}`)
  return labels
}
