import type { GraphPlatform } from './graph.ts'
import { goQuote } from './go-format.ts'

/** Why a text is no platform. */
export interface PlatformFault {
  readonly fault: string
}

const OS_PART = /^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)\))?$/
const PART = /^[A-Za-z0-9_.-]+$/
const SYSTEMS: ReadonlySet<string> = new Set(
  (
    'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 ' +
    'solaris windows zos'
  ).split(' '),
)
const ARCHITECTURES: ReadonlySet<string> = new Set(
  (
    '386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le ' +
    'mips64p32 mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm'
  ).split(' '),
)

function badComponent(parts: readonly string[], index: number): string {
  const [noun, rule] =
    index === 0
      ? ['OS component', `OSAndVersion specifier component must match ${goQuote(OS_PART.source)}`]
      : ['component', `platform specifier component must match ${goQuote(PART.source)}`]
  return `${goQuote(parts[index] ?? '')} is an invalid ${noun} of ${goQuote(parts.join('/'))}: ${rule}`
}

/** Reads `os`, `arch`, `os/arch` or `os/arch/variant`; what is left out is taken from `local`. */
export function parsePlatform(text: string, local: GraphPlatform): GraphPlatform | PlatformFault {
  if (text.includes('*')) return { fault: `${goQuote(text)}: wildcards not yet supported` }
  const parts = text.split('/')
  const badIndex = parts.findIndex((part, index) => !(index === 0 ? OS_PART : PART).test(part))
  if (badIndex >= 0) return { fault: badComponent(parts, badIndex) }
  const [first = '', architecture = '', variant = ''] = parts
  const [, name = '', version = ''] = OS_PART.exec(first) ?? []
  const os = normalizeOs(name)
  const versioned = version === '' ? {} : { osVersion: version }
  if (parts.length === 1) {
    if (SYSTEMS.has(os)) return { os, architecture: local.architecture, ...versioned }
    const found = normalizeArchitecture(first, '')
    if (!ARCHITECTURES.has(found.architecture)) {
      return { fault: `${goQuote(text)}: unknown operating system or architecture` }
    }
    return { os: local.os, ...withoutArmDefault(found) }
  }
  if (parts.length === 2) {
    return { os, ...withoutArmDefault(normalizeArchitecture(architecture, '')), ...versioned }
  }
  if (parts.length === 3) {
    const full = normalizeArchitecture(architecture, variant)
    const isArm64 = full.architecture === 'arm64' && full.variant === undefined
    return { os, ...full, ...(isArm64 ? { variant: 'v8' } : {}), ...versioned }
  }
  return { fault: `${goQuote(text)}: cannot parse platform specifier` }
}

/** The platform with canonical names (`x86_64` is `amd64`). */
export function normalizePlatform(platform: GraphPlatform): GraphPlatform {
  const version = platform.osVersion === undefined ? {} : { osVersion: platform.osVersion }
  return {
    os: normalizeOs(platform.os),
    ...normalizeArchitecture(platform.architecture, platform.variant ?? ''),
    ...version,
  }
}

/** `os/arch[/variant]`. */
export function formatPlatform(platform: GraphPlatform): string {
  const { os, architecture, variant } = platform
  return [os, architecture, variant ?? ''].filter((part) => part !== '').join('/')
}

/** As `formatPlatform`, with the version of the system: `windows(10.0)/amd64`. */
export function formatFullPlatform(platform: GraphPlatform): string {
  const { os, osVersion } = platform
  if (osVersion === undefined || osVersion === '') return formatPlatform(platform)
  return formatPlatform({ ...platform, os: `${os}(${osVersion})` })
}

interface Architecture {
  readonly architecture: string
  readonly variant?: string
}

function withoutArmDefault(found: Architecture): Architecture {
  const isDefault = found.architecture === 'arm' && found.variant === 'v7'
  return isDefault ? { architecture: 'arm' } : found
}

function normalizeOs(os: string): string {
  const lower = os.toLowerCase()
  return lower === 'macos' ? 'darwin' : lower
}

function normalizeArchitecture(name: string, variantText: string): Architecture {
  const variant = variantText.toLowerCase()
  const lower = name.toLowerCase()
  switch (lower) {
    case 'i386':
      return { architecture: '386' }
    case 'x86_64':
    case 'x86-64':
    case 'amd64':
      return architectureOf('amd64', variant === 'v1' ? '' : variant)
    case 'aarch64':
    case 'arm64':
      if (['8', 'v8', 'v8.0'].includes(variant)) return { architecture: 'arm64' }
      return architectureOf('arm64', ['9', '9.0', 'v9.0'].includes(variant) ? 'v9' : variant)
    case 'armhf':
      return { architecture: 'arm', variant: 'v7' }
    case 'armel':
      return { architecture: 'arm', variant: 'v6' }
    case 'arm':
      if (variant === '' || variant === '7') return { architecture: 'arm', variant: 'v7' }
      return architectureOf('arm', /^[568]$/.test(variant) ? `v${variant}` : variant)
    default:
      return architectureOf(lower, variant)
  }
}

function architectureOf(architecture: string, variant: string): Architecture {
  return variant === '' ? { architecture } : { architecture, variant }
}
